import OpenAI from "openai";

const client = new OpenAI();
const model = "kimi-k2-thinking";
const response = await client.responses.create({ model, input: "What is 17 * 23?" });
console.log(response.output_text);

// Go on from it: the conversation is kept here.
const further = await client.responses.create({
  model,
  input: "And 23 * 17?",
  previous_response_id: response.id,
});
console.log(further.output_text);
for await (const item of client.responses.inputItems.list(further.id)) console.log(item.type);

for await (const event of client.responses.stream({ model, input: "What is 17 * 23?" })) {
  console.log(event.type);
}

await client.responses.delete(further.id);
await client.responses.delete(response.id);
