"""This description."""

from openai import OpenAI

document = OpenAI().get("/openapi.json", cast_to=object)
print(document["openapi"], len(document["paths"]))
