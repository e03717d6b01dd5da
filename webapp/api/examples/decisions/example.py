"""A run that asks before it acts."""

import time

from openai import OpenAI

client = OpenAI()


def at_rest(run):
    while run["status"] not in ("finished", "waiting"):
        time.sleep(0.5)
        run = client.get(f"/runs/{run['id']}", cast_to=object)
    return run


asked = {"model": "kimi-k2-thinking", "input": "Ask me for a colour.", "limits": {"max_steps": 2}}
run = at_rest(client.post("/runs", cast_to=object, body=asked))
[call] = run["waiting"]
print(call["prompt"])

waiting = {"call_id": call["call_id"], "arguments": call["arguments"]}
decision = {**waiting, "decision": "answered", "answer": "Blue."}
run = client.post(f"/runs/{run['id']}/approve", cast_to=object, body=decision)
run = at_rest(run | {"status": "running"})
print(run["output"], run["limit"])

if run["limit"]:  # a limit ended it: go on in a run of its own
    further = client.post(f"/runs/{run['id']}/continue", cast_to=object, body={"steps": 10})
    print(at_rest(further)["output"])
