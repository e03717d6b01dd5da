"""The models on offer."""

from anthropic import Anthropic
from openai import OpenAI

for model in OpenAI().models.list():
    print(model.id, model.context_length)
print(OpenAI().models.retrieve("kimi-k2-thinking").owned_by)

for model in Anthropic().models.list():
    print(model.id, model.display_name)
print(Anthropic().models.retrieve("kimi-k2-thinking").display_name)
