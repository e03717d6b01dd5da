"""A desk to write at, without a database: a work folder, the passages of two turns, and a press."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents import citations, passages
from agents.citations import Passage
from agents.tool import Tool, ToolContext, ToolResult
from agents.tools.chart import DrawChart
from agents.tools.document import WriteDocument
from agents.tools.table import MakeTable
from agents.transcript import Transcript
from agents.workspace import Workspace, at_hand
from agents.writing.citing import Earlier
from agents.writing.desk import Desk, TurnAtHand
from agents.writing.press import Press

LAKE = "Lake Orsa is 94 m deep. Its area is 1,250 km2. It freezes in most winters."
TOWN = "The town of Brenn has 12,400 inhabitants (2020 census). It lies on Lake Orsa."


def passage(number: int, text: str, *, source: str = "") -> Passage:
    return Passage(
        number=number,
        source=source or f"https://example.org/{number}",
        title=f"Source {number}",
        text=text,
        sha256=citations.fingerprint(text),
        call_id=f"functions.search:{number}",
        fetched_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


class Study:
    """One conversation. `turn` begins another turn; what a result brings is numbered as the platform does."""

    def __init__(self, root: Path, press: Press) -> None:
        self.workspace = Workspace(root)
        self.press = press
        self.turns: dict[str, list[Passage]] = {}
        self.step = 0
        self.turn("one", passage(1, LAKE), passage(2, TOWN))

    def turn(self, name: str, *found: Passage) -> None:
        self.name = name
        self.turns[name] = list(found)

    async def passages(self) -> list[Passage]:
        return list(self.turns[self.name])

    async def earlier(self, turn: str) -> Earlier | None:
        if turn not in self.turns:
            return None
        return Earlier(passages=self.turns[turn], transcript=Transcript(opening=()))

    async def document(self, action: str, **arguments: Any) -> ToolResult:
        at = TurnAtHand(id=self.name, passages=self, transcript=lambda: Transcript(opening=()))
        desk = Desk(at_hand(self.workspace), turn=at, earlier=self.earlier, press=self.press)
        return await self._run(WriteDocument(desk), {"action": action, **arguments})

    async def chart(self, **arguments: Any) -> ToolResult:
        return await self._run(DrawChart(at_hand(self.workspace), self.press, self), arguments)

    async def table(self, **arguments: Any) -> ToolResult:
        return await self._run(MakeTable(at_hand(self.workspace), self), arguments)

    async def _run(self, tool: Tool, arguments: Mapping[str, Any]) -> ToolResult:
        self.step += 1
        result = await tool.run(arguments, ToolContext(key=str(self.step), step=self.step))
        assert isinstance(result, ToolResult)
        here = self.turns[self.name]
        first = max((one.number for one in here), default=0) + 1
        for number, new in enumerate(result.passages, first):
            here.append(passage(number, new.text, source=new.source))
        return passages.numbered(result, first=first)

    def read(self, path: str) -> bytes:
        return self.workspace.folder.read(path, max_bytes=10**8)


@contextmanager
def pressing() -> Iterator[Press]:
    press = Press()
    try:
        yield press
    finally:
        press.close()
