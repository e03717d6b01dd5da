"""What litellm makes of our answers, and what it says that one costs."""

import json
import os

import litellm

litellm.telemetry = False
WEATHER = {"city": {"type": "string"}}
PARAMETERS = {"type": "object", "properties": WEATHER, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}


def ask(text, **more):
    return litellm.completion(
        model=f"openai/{os.environ['MODEL']}",
        messages=[{"role": "user", "content": text}],
        input_cost_per_token=6e-7,
        output_cost_per_token=2.5e-6,
        num_retries=0,
        **more,
    )


plain = ask("What is 17 * 23?")
message = plain.choices[0].message
told = {"text": message.content, "thought": message.reasoning_content}
told |= {"cost": plain._hidden_params["response_cost"], "id": plain.id}
pieces = [piece.choices[0].delta for piece in ask("What is 17 * 23?", stream=True)]
told["stream"] = "".join(piece.content or "" for piece in pieces)
told["stream_thought"] = "".join(getattr(piece, "reasoning_content", None) or "" for piece in pieces)
[call] = ask("Which weather has Paris?", tools=[TOOL]).choices[0].message.tool_calls
told["call"] = [call.function.name, json.loads(call.function.arguments)]
try:
    ask("Refuse this")
except litellm.BadRequestError as fault:
    told["fault"] = fault.status_code
print(json.dumps(told))
