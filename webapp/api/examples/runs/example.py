"""An agent run: its events, its end."""

import json

import httpx
from openai import OpenAI

client = OpenAI()
asked = {"model": "kimi-k2-thinking", "input": "What is 17 * 23?", "limits": {"max_cost": "0.50"}}

quote = client.post("/runs", cast_to=object, body=asked, options={"headers": {"x-dry-run": "true"}})
print(quote["max_cost"], quote["currency"])

run = client.post("/runs", cast_to=object, body=asked)
headers = {"Authorization": f"Bearer {client.api_key}", "Last-Event-ID": "0"}
with httpx.stream(
    "GET", f"{client.base_url}runs/{run['id']}/events", headers=headers, timeout=None
) as events:
    for line in events.iter_lines():
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            print(event["seq"], event["type"])

run = client.get(f"/runs/{run['id']}", cast_to=object)
print(run["status"], run["output"], run["cost"])
print(client.get(f"/runs/{run['id']}/export?format=markdown", cast_to=str))

other = client.post("/runs", cast_to=object, body={**asked, "input": "Think for an hour."})
print(client.post(f"/runs/{other['id']}/cancel", cast_to=object)["status"])
print(client.get("/runs?limit=10", cast_to=object)["has_more"])
