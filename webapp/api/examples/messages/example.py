"""Anthropic's Messages."""

from anthropic import Anthropic

client = Anthropic()  # reads ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY
question = [{"role": "user", "content": "What is 17 * 23?"}]

message = client.messages.create(model="kimi-k2-thinking", max_tokens=16_000, messages=question)
for block in message.content:
    print(block.type, block.thinking if block.type == "thinking" else block.text)

with client.messages.stream(model="kimi-k2-thinking", max_tokens=16_000, messages=question) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
print()

print(client.messages.count_tokens(model="kimi-k2-thinking", messages=question).input_tokens)
