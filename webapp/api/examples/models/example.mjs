import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const client = new OpenAI();
for await (const model of client.models.list()) console.log(model.id, model.context_length);
console.log((await client.models.retrieve("kimi-k2-thinking")).owned_by);

const anthropic = new Anthropic();
for await (const model of anthropic.models.list()) console.log(model.id, model.display_name);
console.log((await anthropic.models.retrieve("kimi-k2-thinking")).display_name);
