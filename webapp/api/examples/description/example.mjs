import OpenAI from "openai";

const document = await new OpenAI().get("/openapi.json");
console.log(document.openapi, Object.keys(document.paths).length);
