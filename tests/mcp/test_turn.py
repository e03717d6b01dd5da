"""A whole turn with the tools of an MCP server: called, waited for, decided, and exported."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents import audit as log
from chat import audit, steering, tool_servers
from chat.frames import CallDecide
from chat.models import Part, ToolRun, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.services import wait_until
from tests.turn.browser import Tab
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)

OSLO, ROME = '{"city": "Oslo"}', '{"city": "Rome", "days": 3}'
TWO_CALLS = (
    Reply(step=1, lines=(f"call: mcp__weather__forecast {OSLO}",)),
    Reply(step=2, lines=(f"call: mcp__weather__forecast {ROME}",)),
    Reply(step=3, lines=("text: Clear in both.",)),
)


@pytest.fixture
def weather(settings, sdk_over_http: dict[str, Any]) -> Iterator[None]:
    """The setting names the server, vouches for what it says of its tools, and says no more."""
    settings.MCP_SERVERS = (
        f'[servers.weather]\nurl = "{sdk_over_http["url"]}"\nprivate = true\nvouched = true\n'
    )
    tool_servers.pool.cache_clear()
    yield
    tool_servers.pool().close()
    tool_servers.pool.cache_clear()


def results(turn: Turn) -> list[dict[str, str]]:
    parts = Part.objects.filter(message__turn=turn, kind=Part.Kind.TOOL_RESULT).order_by("message__step")
    return [json.loads(part.text) for part in parts]


def test_a_strangers_answer_makes_the_next_call_wait_for_a_person(
    weather: None, alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    script(*TWO_CALLS)
    turn_id = alice_tab.start("How is the weather?", long_thinking=True)
    alice_tab.wait_for("turn.waiting")
    run = ToolRun.objects.get(turn__id=turn_id, state=ToolRun.State.WAITING)
    assert (run.tool, run.effect, run.arguments) == ("mcp__weather__forecast", "external", ROME)
    steering.decide_call(
        alice, CallDecide(turn=str(turn_id), call=run.call_id, decision="approved", arguments=ROME)
    )
    alice_tab.wait_for("turn.finished")
    turn = Turn.objects.get(id=turn_id)
    wait_until(lambda: Turn.objects.get(id=turn_id).lease_until is None, within_s=30, what="the last word")
    assert results(turn) == [
        {"city": "Oslo", "sky": "clear"},
        {"city": "Rome", "sky": "clear for 3 days"},
    ]
    lines = list(audit.export(turn))
    log.verify(lines)
    runs = [json.loads(line)["data"] for line in lines if '"kind":"tool_run"' in line]
    assert [(run["trust"], run["decision"]) for run in runs] == [("mcp", ""), ("mcp", "approved")]
    assert runs[1]["decided_by_name"] == "alice"
