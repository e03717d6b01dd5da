"""What a call costs, before and after."""

import time

from openai import NotFoundError, OpenAI

client = OpenAI()
body = {"model": "kimi-k2-thinking", "messages": [{"role": "user", "content": "What is 17 * 23?"}]}
quote = client.post("/quote", cast_to=object, body={"url": "/v1/chat/completions", "body": body})
print(quote["expected_cost"], quote["max_cost"], quote["currency"])

answer = client.chat.completions.with_raw_response.create(**body)
while True:
    try:  # the receipt is written when the answer has ended
        receipt = client.get(f"/receipts/{answer.headers['x-kimi-receipt']}", cast_to=object)
        break
    except NotFoundError:
        time.sleep(0.2)
print(receipt["charged"], receipt["signature"]["algorithm"])

for line in client.get("/usage", cast_to=object)["data"]:
    print(line["day"], line["model"], line["cost"])
