import OpenAI from "openai";

const client = new OpenAI();
const asked = { model: "kimi-k2-thinking", input: "What is 17 * 23?", limits: { max_cost: "0.50" } };

const quote = await client.post("/runs", { body: asked, headers: { "x-dry-run": "true" } });
console.log(quote.max_cost, quote.currency);

let run = await client.post("/runs", { body: asked });
const headers = { authorization: `Bearer ${client.apiKey}`, "last-event-id": "0" };
const events = await fetch(`${client.baseURL}/runs/${run.id}/events`, { headers });
for await (const text of events.body.pipeThrough(new TextDecoderStream())) process.stdout.write(text);

run = await client.get(`/runs/${run.id}`);
console.log(run.status, run.output, run.cost);
console.log(await (await fetch(`${client.baseURL}/runs/${run.id}/export?format=markdown`, { headers })).text());

const other = await client.post("/runs", { body: { ...asked, input: "Think for an hour." } });
console.log((await client.post(`/runs/${other.id}/cancel`)).status);
console.log((await client.get("/runs?limit=10")).has_more);
