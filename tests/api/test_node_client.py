"""OpenAI's client for Node, as it comes from npm, gets along with /v1/responses."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from inference.backends.scripted import Reply

ROOT = Path(__file__).resolve().parents[2]
CLIENT = Path(__file__).with_name("responses_client.mjs")


def test_the_official_client_for_node_gets_along(server, client, secret, script):
    if shutil.which("node") is None or not (ROOT / "node_modules" / "openai").exists():
        pytest.skip("no Node, or its client is not installed (npm ci)")
    script(
        Reply(when="Calculate", step=1, lines=('call: calculate {"expression": "2 + 2"}',)),
        Reply(when="Calculate", step=2, lines=("text: It is four.",)),
        Reply(lines=("think: hm", "text: Hello.")),
    )
    command = ["node", str(CLIENT), f"{server}/v1", secret]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["plain"]["text"], seen["plain"]["kinds"]) == ("Hello.", ["reasoning", "message"])
    assert seen["plain"]["usage"]["input_tokens_details"]["cached_tokens"] == 0
    assert seen["events"][:2] == ["response.created", "response.in_progress"]
    assert seen["events"][-1] == "response.completed"
    assert seen["call"] == {"name": "calculate", "arguments": {"expression": "2 + 2"}}
    assert seen["answered"] == "It is four."
    assert (seen["queued"], seen["cancelled"], seen["kept"]) == ("queued", "cancelled", "cancelled")
    assert seen["refusal"] == {"status": 400, "param": "temperature"}
