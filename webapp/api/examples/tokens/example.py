"""How many tokens a prompt has."""

from openai import OpenAI

client = OpenAI()
prompt = {"model": "kimi-k2-thinking", "messages": [{"role": "user", "content": "What is 17 * 23?"}]}
counted = client.post("/tokenizers/estimate-token-count", cast_to=object, body=prompt)
print(counted["data"]["total_tokens"])

balance = client.get("/users/me/balance", cast_to=object)
print(balance["data"]["available_exact"], balance["data"]["currency"])
