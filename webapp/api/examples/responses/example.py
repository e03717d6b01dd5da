"""Responses: an answer, streamed too."""

from openai import OpenAI

client = OpenAI()
response = client.responses.create(model="kimi-k2-thinking", input="What is 17 * 23?")
print(response.output_text)

# Go on from it: the conversation is kept here.
further = client.responses.create(
    model="kimi-k2-thinking", input="And 23 * 17?", previous_response_id=response.id
)
print(further.output_text)
for item in client.responses.input_items.list(further.id):
    print(item.type)

with client.responses.stream(model="kimi-k2-thinking", input="What is 17 * 23?") as stream:
    for event in stream:
        print(event.type)

client.responses.delete(further.id)
client.responses.delete(response.id)
