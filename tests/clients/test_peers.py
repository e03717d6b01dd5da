"""Programs of others, as they come from the registries, get along with a running server: chat, streams,
tools, thinking, refusals. Each lies in a folder of its own (`scripts/client-peers`); one that is missing
is left out.
"""

import json
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.clients.conftest import MODEL, SUM, peer, seen

PROBES = Path(__file__).parent / "probes"
TOLD = "It rains in Paris, at 18 degrees."
SUMMED = "The answer is 391."
PRICE = f"""
from decimal import Decimal
from django.utils import timezone
from webapp.billing.models import Price
from webapp.catalog.models import ServedModel
Price.objects.create(
    model=ServedModel.objects.get(name="{MODEL}"), valid_from=timezone.now(),
    input_per_million=Decimal("0.6"), cached_input_per_million=Decimal("0.15"),
    output_per_million=Decimal("2.5"))
print("done")
"""


def probe(platform, folder, name, **environment):
    """What the probe of this name tells, run by the peer's own Python."""
    program, code = peer(name), (PROBES / f"{name.replace('-', '_')}.py").read_text()
    return seen(platform.run(str(program), "-c", code, folder=folder, MODEL=MODEL, **environment))


def test_litellm_gets_along_and_counts_what_we_bill(platform, tmp_path):
    peer("litellm")
    platform.python(PRICE)
    environment = {"OPENAI_API_BASE": f"{platform.url}/v1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    told = probe(platform, tmp_path, "litellm", **environment)
    assert (told["text"], told["stream"], told["fault"]) == (SUMMED, SUMMED, 400)
    assert told["thought"] == told["stream_thought"] == "17 * 20 + 17 * 3"
    assert told["call"] == ["weather", {"city": "Paris"}]
    billed = platform.python(
        "import time; from webapp.billing.models import UsageRecord\n"
        f"rows = UsageRecord.objects.filter(reference='{told['id']}')\n"
        "until = time.time() + 60\n"
        "while not rows.exists() and time.time() < until: time.sleep(0.1)\n"
        "print(rows.get().cost_nano)"
    )
    assert round(told["cost"] * 10**9) == int(billed)


def test_pydantic_ai_gets_along_in_every_dialect(platform, tmp_path):
    told = probe(platform, tmp_path, "pydantic-ai")
    one = [SUMMED, SUMMED, TOLD, ["Paris"], True, 400]
    assert told == dict.fromkeys(("chat", "responses", "messages"), one)


def test_openai_agents_get_along(platform, tmp_path):
    told = probe(platform, tmp_path, "openai-agents")
    one = [SUMMED, SUMMED, TOLD, True, 400]
    assert told == {"responses": one, "chat_completions": one, "asked": ["Paris", "Paris"]}


def test_llm_gets_along(platform, tmp_path):
    program = peer("llm", "bin/llm")
    model = {"model_id": "kimi", "model_name": MODEL, "api_base": f"{platform.url}/v1"}
    model["api_key_name"] = "kimi"
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([model]))
    for more in ((), ("--no-stream",)):
        command = (str(program), "-m", "kimi", "--key", platform.secret, *more, SUM)
        assert SUMMED in platform.run(*command, folder=tmp_path, LLM_USER_PATH=str(tmp_path))


def test_aider_talks(platform, tmp_path):
    program = peer("aider", "bin/aider")
    options = ("--no-check-update", "--no-analytics", "--no-show-model-warnings", "--yes-always", "--no-git")
    platform.run(
        *(str(program), "--model", f"openai/{MODEL}", *options, "--message", SUM, "--no-pretty"),
        folder=tmp_path,
        within_s=300,
        OPENAI_API_BASE=f"{platform.url}/v1",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )
    assert SUMMED in (tmp_path / ".aider.chat.history.md").read_text()


def test_codex_gets_along(platform, tmp_path):
    program = peer("codex", "node_modules/.bin/codex")
    place = f'base_url="{platform.url}/v1", env_key="OPENAI_API_KEY"'
    provider = f'model_providers.ours={{name="ours", {place}, wire_api="responses"}}'
    settings = ("-c", provider, "-c", 'model_provider="ours"', "-c", f'model="{MODEL}"')
    options = ("--skip-git-repo-check", "--json", "--sandbox", "read-only")
    said = platform.run(
        *(str(program), "exec", *settings, *options, SUM),
        folder=tmp_path,
        within_s=300,
        CODEX_HOME=str(tmp_path),
    )
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    assert SUMMED in [item.get("text") for item in items if item["type"] == "agent_message"]
    [usage] = [event["usage"] for event in events if event["type"] == "turn.completed"]
    assert usage["output_tokens"] > 0


def test_claude_code_gets_along(platform, tmp_path):
    program = peer("claude-code", "node_modules/.bin/claude")
    said = platform.run(
        *(str(program), "-p", SUM, "--model", MODEL, "--output-format", "json"),
        folder=tmp_path,
        within_s=300,
        ANTHROPIC_SMALL_FAST_MODEL=MODEL,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
        DISABLE_TELEMETRY="1",
    )
    told = seen(said)
    assert (told["result"], told["is_error"]) == (SUMMED, False)


@pytest.mark.parametrize("mount", ["", "/anthropic"])
def test_the_official_client_of_anthropic_checks_every_answer(platform, mount):
    options: dict[str, Any] = {"base_url": platform.url + mount, "api_key": platform.secret, "max_retries": 0}
    with anthropic.Anthropic(**options, _strict_response_validation=True) as client:
        asked: dict[str, Any] = {"model": MODEL, "max_tokens": 2_000}
        said = client.messages.create(messages=[{"role": "user", "content": SUM}], **asked)
        assert [block.type for block in said.content] == ["thinking", "text"]
        with client.messages.stream(messages=[{"role": "user", "content": SUM}], **asked) as stream:
            assert stream.get_final_text() == SUMMED
        weather: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {}}}}
        question: Any = [{"role": "user", "content": "Which weather has Paris?"}]
        called = client.messages.create(messages=question, tools=[weather], **asked)
        assert (called.stop_reason, called.content[-1].input) == ("tool_use", {"city": "Paris"})
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(messages=[{"role": "user", "content": "Refuse this"}], **asked)
