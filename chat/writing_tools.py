"""The tools that write: documents, charts and tables, which lie in the turn's work folder."""

from collections.abc import Callable
from functools import cache
from uuid import UUID

from agents.steps.asking import Ask
from agents.tool import Tool
from agents.tools.chart import DrawChart
from agents.tools.document import WriteDocument
from agents.tools.table import MakeTable
from agents.transcript import Transcript
from agents.writing.citing import Earlier
from agents.writing.desk import Desk, TurnAtHand
from agents.writing.press import Press
from chat import code_tools, evidence, own_loop, transcripts
from chat.evidence import StoredPassages
from chat.models import Turn
from inference.schema import ToolSpec


def specs() -> tuple[ToolSpec, ...]:
    return (WriteDocument.spec, DrawChart.spec, MakeTable.spec)


def tools_of(
    turn: Turn, *, ask: Callable[[], Ask | None], transcript: Callable[[], Transcript]
) -> list[Tool]:
    """`ask` gives somebody to judge a section by; `transcript` is the turn's so far."""
    files, passages = code_tools.files_of(turn), StoredPassages(turn.id)
    at_hand = TurnAtHand(id=str(turn.id), passages=passages, transcript=transcript, ask=ask)
    desk = Desk(files, turn=at_hand, earlier=_EarlierTurns(turn), press=_printing())
    drawing: list[Tool] = [DrawChart(files, _drawing(), passages), MakeTable(files, passages)]
    # An agent's files are its own: what it wrote into a document would not come back with its answer.
    return drawing if turn.spawned_by_id else [WriteDocument(desk), *drawing]


class _EarlierTurns:
    """What other turns of the conversation have read: a document names them, and who wrote it is a model."""

    def __init__(self, turn: Turn) -> None:
        self._conversation_id = turn.conversation_id
        self._found: dict[str, Earlier | None] = {}

    async def __call__(self, turn_id: str) -> Earlier | None:
        if turn_id not in self._found:
            self._found[turn_id] = await own_loop.database(self._read, turn_id)
        return self._found[turn_id]

    def _read(self, turn_id: str) -> Earlier | None:
        try:
            found = Turn.objects.filter(id=UUID(turn_id), conversation=self._conversation_id).first()
        except ValueError:
            return None
        if found is None:
            return None
        return Earlier(passages=evidence.passages_of(found.id), transcript=transcripts.read(found))


@cache
def _printing() -> Press:
    """Of this process. What is long to print does not hold up what is quickly drawn."""
    return Press()


@cache
def _drawing() -> Press:
    return Press(time_s=60.0)
