"""The notebook in memory keeps what every notebook promises."""

import pytest

from agents.notebook import InMemoryNotebook, plan_lines
from agents.tool import NewPassage, ToolResult
from agents.transcript import NoteKind
from tests.agents.notebook_contract import LINES, NotebookContract
from tests.agents.transcripts import Story


class MemoryWorld:
    def __init__(self) -> None:
        self.story = Story()
        self.passages: dict[int, NewPassage] = {}
        self.notebook = InMemoryNotebook(
            self.story.transcript, external=frozenset({"post"}), passages=self.passages
        )

    async def step(self, result: ToolResult, *, call: str = 'search {"query": "river"}') -> str:
        self.passages.update(enumerate(result.passages, len(self.passages) + 1))
        return self.story.step(result, call=call).calls[0].key

    async def roll_back(self, to_step: int, *, phase: str = "") -> None:
        self.story.note(NoteKind.ROLLBACK, "A lesson.", to_step=to_step, phase=phase)


class TestInMemoryNotebook(NotebookContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()


def test_the_model_reads_its_plan_under_its_phases():
    assert plan_lines(LINES) == (
        "gather:\n1. (done) Find the length [functions.search:0]\nverify:\n2. (todo) Check it"
    )
