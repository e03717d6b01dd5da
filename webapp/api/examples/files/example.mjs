import OpenAI, { toFile } from "openai";

const client = new OpenAI();
const facts = await toFile(Buffer.from("Paris is the capital of France."), "facts.txt");
const file = await client.files.create({ file: facts, purpose: "file-extract" });
console.log((await client.files.retrieve(file.id)).bytes);
console.log((await (await client.files.content(file.id)).json()).content);
for await (const listed of client.files.list({ purpose: "file-extract" })) {
  console.log(listed.id, listed.filename);
}
await client.files.delete(file.id);
