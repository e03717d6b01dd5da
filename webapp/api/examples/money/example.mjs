import OpenAI from "openai";

const client = new OpenAI();
const body = { model: "kimi-k2-thinking", messages: [{ role: "user", content: "What is 17 * 23?" }] };
const quote = await client.post("/quote", { body: { url: "/v1/chat/completions", body } });
console.log(quote.expected_cost, quote.max_cost, quote.currency);

const { response } = await client.chat.completions.create(body).withResponse();
const id = response.headers.get("x-kimi-receipt");
let receipt;
while (!receipt) { // it is written when the answer has ended
  receipt = await client.get(`/receipts/${id}`).catch((fault) => {
    if (fault.status !== 404) throw fault;
    return new Promise((resolve) => setTimeout(resolve, 200));
  });
}
console.log(receipt.charged, receipt.signature.algorithm);

for (const line of (await client.get("/usage")).data) console.log(line.day, line.model, line.cost);
