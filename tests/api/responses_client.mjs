// The official client for Node against a running server; prints what it saw as JSON.
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const tool = {
  type: "function",
  name: "calculate",
  strict: false,
  parameters: { type: "object", properties: { expression: { type: "string" } } },
};
const model = "scripted";
const seen = {};

const plain = await client.responses.create({ model, input: "Hello", reasoning: { effort: "high" } });
seen.plain = { text: plain.output_text, kinds: plain.output.map((item) => item.type), usage: plain.usage };

seen.events = [];
const stream = client.responses.stream({ model, input: "Calculate", tools: [tool] });
for await (const event of stream) seen.events.push(event.type);
const called = await stream.finalResponse();
const [call] = called.output;
seen.call = { name: call.name, arguments: JSON.parse(call.arguments) };

const answered = await client.responses.create({
  model,
  tools: [tool],
  previous_response_id: called.id,
  input: [{ type: "function_call_output", call_id: call.call_id, output: "4" }],
});
seen.answered = answered.output_text;

const queued = await client.responses.create({ model, input: "Hello", background: true });
seen.queued = queued.status;
seen.cancelled = (await client.responses.cancel(queued.id)).status;
seen.kept = (await client.responses.retrieve(queued.id)).status;

try {
  await client.responses.create({ model, input: "Hello", temperature: 9 });
} catch (error) {
  seen.refusal = { status: error.status, param: error.param };
}
console.log(JSON.stringify(seen));
