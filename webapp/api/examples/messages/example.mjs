import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic(); // reads ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY
const model = "kimi-k2-thinking";
const messages = [{ role: "user", content: "What is 17 * 23?" }];

const message = await client.messages.create({ model, max_tokens: 16_000, messages });
for (const block of message.content) console.log(block.type, block.thinking ?? block.text);

const stream = client.messages.stream({ model, max_tokens: 16_000, messages });
stream.on("text", (text) => process.stdout.write(text));
await stream.finalMessage();
console.log();

console.log((await client.messages.countTokens({ model, messages })).input_tokens);
