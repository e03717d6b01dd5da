import OpenAI from "openai";

const client = new OpenAI();

async function atRest(run) {
  while (!["finished", "waiting"].includes(run.status)) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    run = await client.get(`/runs/${run.id}`);
  }
  return run;
}

const body = { model: "kimi-k2-thinking", input: "Ask me for a colour.", limits: { max_steps: 2 } };
let run = await atRest(await client.post("/runs", { body }));
const [call] = run.waiting;
console.log(call.prompt);

const decision = { call_id: call.call_id, arguments: call.arguments, decision: "answered", answer: "Blue." };
run = await client.post(`/runs/${run.id}/approve`, { body: decision });
run = await atRest({ ...run, status: "running" });
console.log(run.output, run.limit);

if (run.limit) { // a limit ended it: go on in a run of its own
  const further = await client.post(`/runs/${run.id}/continue`, { body: { steps: 10 } });
  console.log((await atRest(further)).output);
}
