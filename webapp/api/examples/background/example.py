"""An answer in the background, and its stream taken up again."""

import time

from openai import OpenAI

client = OpenAI()
response = client.responses.create(model="kimi-k2-thinking", input="What is 17 * 23?", background=True)
while response.status in ("queued", "in_progress"):
    time.sleep(0.5)
    response = client.responses.retrieve(response.id)
print(response.status, response.output_text)

# Its events, from any number on
for event in client.responses.retrieve(response.id, stream=True, starting_after=0):
    print(event.sequence_number, event.type)

other = client.responses.create(model="kimi-k2-thinking", input="Think for an hour.", background=True)
print(client.responses.cancel(other.id).status)
