import OpenAI, { ConflictError, toFile } from "openai";

const client = new OpenAI();
const body = { model: "kimi-k2-thinking", messages: [{ role: "user", content: "What is 17 * 23?" }] };
const line = JSON.stringify({ custom_id: "q1", method: "POST", url: "/v1/chat/completions", body });
const file = await client.files.create({
  file: await toFile(Buffer.from(line), "lines.jsonl"),
  purpose: "batch",
});

const asked = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" };
let batch = await client.batches.create(asked);
while (["validating", "in_progress", "finalizing"].includes(batch.status)) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  batch = await client.batches.retrieve(batch.id);
}
console.log(batch.status, batch.request_counts.completed);
console.log(await (await client.files.content(batch.output_file_id)).text());

const other = await client.batches.create(asked);
try {
  console.log((await client.batches.cancel(other.id)).status);
} catch (error) {
  if (!(error instanceof ConflictError)) throw error;
  console.log("It has ended already.");
}
for await (const listed of client.batches.list()) console.log(listed.id);
