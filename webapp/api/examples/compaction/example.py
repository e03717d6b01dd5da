"""A long conversation made short."""

from openai import OpenAI

client = OpenAI()
said = [{"role": "user", "content": "Remember the number 391."}]
counted = client.responses.input_tokens.count(model="kimi-k2-thinking", input=said)
print(counted.input_tokens)

compacted = client.responses.compact(model="kimi-k2-thinking", input=said)
question = {"role": "user", "content": "Which number is it?"}
response = client.responses.create(model="kimi-k2-thinking", input=[*compacted.output, question])
print(response.output_text)
