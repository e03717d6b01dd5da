"""A model computes with code: a whole turn, from its call to what people see."""

import base64
from pathlib import Path

import pytest
from django.conf import settings

from agents.sandbox import tiers
from chat import conversations
from chat.models import Artifact, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.turn.browser import Tab

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not tiers.active().is_offered, reason="no sandbox on this machine"),
]

COUNT = 'call: run_python {"code": "numbers = list(range(10))"}'
SUM = """call: run_python {"code": "open('sum.bin', 'wb').write(b'\\\\xff\\\\x00')\\nsum(numbers)"}"""
LOOK = 'call: shell {"command": "wc -c < sum.bin"}'


def test_code_of_one_call_goes_on_with_the_variables_and_files_of_the_one_before(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(
        Reply(step=1, lines=(COUNT,)),
        Reply(step=2, lines=(SUM,)),
        Reply(step=3, lines=(LOOK,)),
        Reply(step=4, lines=("text: 45",)),
    )
    frames = alice_tab.ask("Sum of 0 to 9?", long_thinking=True)
    results = [frame["result"] for frame in frames.of("tool_call.finished")]
    assert results == ["(no output)", "45\n[Files written: sum.bin (2 bytes)]", "2"]
    turn = Turn.objects.get()
    artifact = Artifact.objects.get(turn=turn)
    assert (artifact.name, artifact.media_type) == ("sum.bin", "application/octet-stream;base64")
    assert base64.b64decode(artifact.text) == b"\xff\x00"
    assert turn.tool_runs.filter(sandbox_ms__gt=0).exists()
    folder = Path(settings.VAR_DIR) / "workspaces" / str(turn.conversation_id)
    assert (folder / "files" / "sum.bin").exists()
    conversations.delete(turn.conversation)
    assert not folder.exists()
