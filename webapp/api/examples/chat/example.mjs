import OpenAI from "openai";

const client = new OpenAI(); // reads OPENAI_BASE_URL and OPENAI_API_KEY
const model = "kimi-k2-thinking";
const question = [{ role: "user", content: "What is 17 * 23?" }];

const answer = await client.chat.completions.create({ model, messages: question });
console.log(answer.choices[0].message.reasoning_content);
console.log(answer.choices[0].message.content);

const stream = await client.chat.completions.create({ model, messages: question, stream: true });
for await (const chunk of stream) {
  const { reasoning_content, content } = chunk.choices[0].delta;
  process.stdout.write(reasoning_content ?? content ?? "");
}
console.log();

const weather = {
  name: "weather",
  description: "The weather of a city.",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const tools = [{ type: "function", function: weather }];
const messages = [{ role: "user", content: "Which weather has Paris?" }];
const asked = await client.chat.completions.create({ model, messages, tools });
const { message } = asked.choices[0];
const [call] = message.tool_calls;
console.log(call.function.name, call.function.arguments);
// The message goes back as it is, with its reasoning_content.
messages.push(message, { role: "tool", tool_call_id: call.id, content: "18 °C, rain" });
const told = await client.chat.completions.create({ model, messages, tools });
console.log(told.choices[0].message.content);
