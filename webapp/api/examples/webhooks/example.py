"""An address that hears of what happens."""

import os

from openai import OpenAI

client = OpenAI()
print(client.get("/webhook_event_types", cast_to=object)["data"])

body = {"name": "mine", "url": os.environ["WEBHOOK_URL"], "event_types": ["response.completed"]}
endpoint = client.post("/webhook_endpoints", cast_to=object, body=body)
place = f"/webhook_endpoints/{endpoint['id']}"
# Your server checks what it is sent: client.webhooks.unwrap(body, headers, secret=…)
print(endpoint["signing_secret"][:6])

client.post(place, cast_to=object, body={"event_types": ["response.completed", "batch.completed"]})
print(client.post(f"{place}/test", cast_to=object, body={"event_type": "response.completed"})["status_code"])
print(client.get(f"{place}/deliveries", cast_to=object)["data"])
print(
    client.get(place, cast_to=object)["is_active"],
    len(client.get("/webhook_endpoints", cast_to=object)["data"]),
)
client.post(f"{place}/rotate_secret", cast_to=object)
client.delete(place, cast_to=object)
