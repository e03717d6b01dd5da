import OpenAI from "openai";

const client = new OpenAI();
const model = "kimi-k2-thinking";
const said = [{ role: "user", content: "Remember the number 391." }];
const counted = await client.responses.inputTokens.count({ model, input: said });
console.log(counted.input_tokens);

const compacted = await client.responses.compact({ model, input: said });
const question = { role: "user", content: "Which number is it?" };
const response = await client.responses.create({ model, input: [...compacted.output, question] });
console.log(response.output_text);
