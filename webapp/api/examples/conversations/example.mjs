import OpenAI from "openai";

const client = new OpenAI();
const item = { type: "message", role: "user", content: "Remember the number 391." };
const conversation = await client.conversations.create({ items: [item], metadata: { topic: "numbers" } });
const response = await client.responses.create({
  model: "kimi-k2-thinking",
  input: "Which number is it?",
  conversation: conversation.id,
});
console.log(response.output_text);

await client.conversations.items.create(conversation.id, { items: [item] });
let said;
for await (said of client.conversations.items.list(conversation.id, { order: "asc" })) {
  const found = await client.conversations.items.retrieve(said.id, { conversation_id: conversation.id });
  console.log(said.id, found.type);
}
await client.conversations.items.delete(said.id, { conversation_id: conversation.id });

await client.conversations.update(conversation.id, { metadata: { topic: "sums" } });
console.log((await client.conversations.retrieve(conversation.id)).metadata);
await client.conversations.delete(conversation.id);
