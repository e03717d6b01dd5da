"""Many questions in one file, answered in their own time."""

import json
import time

from openai import ConflictError, OpenAI

client = OpenAI()
body = {"model": "kimi-k2-thinking", "messages": [{"role": "user", "content": "What is 17 * 23?"}]}
line = {"custom_id": "q1", "method": "POST", "url": "/v1/chat/completions", "body": body}
file = client.files.create(file=("lines.jsonl", json.dumps(line).encode()), purpose="batch")

batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
while batch.status in ("validating", "in_progress", "finalizing"):
    time.sleep(0.5)
    batch = client.batches.retrieve(batch.id)
print(batch.status, batch.request_counts.completed)
print(client.files.content(batch.output_file_id).text)

other = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
try:
    print(client.batches.cancel(other.id).status)
except ConflictError:
    print("It has ended already.")
print([listed.id for listed in client.batches.list()])
