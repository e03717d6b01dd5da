import OpenAI from "openai";

const client = new OpenAI();
const body = { model: "kimi-k2-thinking", messages: [{ role: "user", content: "What is 17 * 23?" }] };
const counted = await client.post("/tokenizers/estimate-token-count", { body });
console.log(counted.data.total_tokens);

const balance = await client.get("/users/me/balance");
console.log(balance.data.available_exact, balance.data.currency);
