import OpenAI from "openai";

const client = new OpenAI();
console.log((await client.get("/webhook_event_types")).data);

const body = { name: "mine", url: process.env.WEBHOOK_URL, event_types: ["response.completed"] };
const endpoint = await client.post("/webhook_endpoints", { body });
const place = `/webhook_endpoints/${endpoint.id}`;
// Your server checks what it is sent: client.webhooks.unwrap(body, headers, secret)
console.log(endpoint.signing_secret.slice(0, 6));

await client.post(place, { body: { event_types: ["response.completed", "batch.completed"] } });
console.log((await client.post(`${place}/test`, { body: { event_type: "response.completed" } })).status_code);
console.log((await client.get(`${place}/deliveries`)).data);
console.log((await client.get(place)).is_active, (await client.get("/webhook_endpoints")).data.length);
await client.post(`${place}/rotate_secret`);
await client.delete(place);
