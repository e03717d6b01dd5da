import OpenAI from "openai";

const client = new OpenAI();
const model = "kimi-k2-thinking";
let response = await client.responses.create({ model, input: "What is 17 * 23?", background: true });
while (["queued", "in_progress"].includes(response.status)) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  response = await client.responses.retrieve(response.id);
}
console.log(response.status, response.output_text);

// Its events, from any number on
const events = await client.responses.retrieve(response.id, { stream: true, starting_after: 0 });
for await (const event of events) console.log(event.sequence_number, event.type);

const other = await client.responses.create({ model, input: "Think for an hour.", background: true });
console.log((await client.responses.cancel(other.id)).status);
