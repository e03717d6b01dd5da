"""Chat Completions: an answer, streamed too."""

from openai import OpenAI

client = OpenAI()  # reads OPENAI_BASE_URL and OPENAI_API_KEY
question = [{"role": "user", "content": "What is 17 * 23?"}]

answer = client.chat.completions.create(model="kimi-k2-thinking", messages=question)
print(answer.choices[0].message.reasoning_content)
print(answer.choices[0].message.content)

stream = client.chat.completions.create(model="kimi-k2-thinking", messages=question, stream=True)
for chunk in stream:
    delta = chunk.choices[0].delta
    print(getattr(delta, "reasoning_content", None) or delta.content or "", end="", flush=True)
print()

weather = {
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
tools = [{"type": "function", "function": weather}]
messages = [{"role": "user", "content": "Which weather has Paris?"}]
asked = client.chat.completions.create(model="kimi-k2-thinking", messages=messages, tools=tools)
[call] = asked.choices[0].message.tool_calls
print(call.function.name, call.function.arguments)
# The message goes back as it is, with its reasoning_content.
messages += [asked.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "18 °C, rain"}]
told = client.chat.completions.create(model="kimi-k2-thinking", messages=messages, tools=tools)
print(told.choices[0].message.content)
