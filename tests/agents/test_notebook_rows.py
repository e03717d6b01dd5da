"""The notebook on the database keeps what every notebook promises, for the worker that holds the turn."""

from collections.abc import AsyncIterator
from hashlib import sha256
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from agents.tool import ToolResult
from agents.transcript import NoteKind
from chat import dispatch, turns
from chat.frames import TurnSend
from chat.models import Artifact, Fact, Message, Part, Passage, PlanItem, ToolRun, Turn
from chat.notebook import DatabaseNotebook
from tests.agents.notebook_contract import LINES, NotebookContract
from tests.conftest import WriteScript
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)


class RowsWorld:
    """A turn whose steps are written as rows."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.notebook = DatabaseNotebook(turn.id, fence=1)
        self._step = 0
        self._num_passages = 0

    async def step(self, result: ToolResult, *, call: str = 'search {"query": "river"}') -> str:
        return await sync_to_async(self._write_step)(result, call)

    async def roll_back(self, to_step: int, *, phase: str = "") -> None:
        await Message.objects.acreate(
            turn=self.turn,
            step=self._step,
            position=50,
            role=Message.Role.NOTE,
            kind=NoteKind.ROLLBACK,
            data={"to_step": to_step, "phase": phase},
        )

    def _write_step(self, result: ToolResult, call: str) -> str:
        name, _, arguments = call.partition(" ")
        call_id = f"functions.{name}:{self._step}"
        self._step += 1
        key = f"{self.turn.id}.{self._step}.0"
        ToolRun.objects.create(
            turn=self.turn,
            step=self._step,
            index=0,
            call_id=call_id,
            tool=name,
            arguments=arguments,
            arguments_sha256=sha256(arguments.encode()).hexdigest(),
            key=key,
            effect="external" if name == "post" else "none",
            state=ToolRun.State.DONE,
            trust=result.trust,
        )
        message = Message.objects.create(turn=self.turn, step=self._step, position=1, role=Message.Role.TOOL)
        Part.objects.create(
            message=message,
            position=0,
            kind=Part.Kind.TOOL_RESULT,
            text=result.for_model,
            tool_name=name,
            tool_call_id=call_id,
        )
        for passage in result.passages:
            self._num_passages += 1
            Passage.objects.create(
                turn=self.turn,
                number=self._num_passages,
                call_id=call_id,
                source=passage.source,
                title=passage.title,
                text=passage.text,
                trust=result.trust,
                fetched_at=passage.fetched_at,
            )
        for artifact in result.artifacts:
            Artifact.objects.create(turn=self.turn, call_id=call_id, name=artifact.name, text=artifact.text)
        return key


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    """The thread that the database is reached from outlives the test, and its connection with it."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
def world(alice: User, scripted_model: ServedModel, script: WriteScript) -> RowsWorld:
    """A turn held at fence 1."""
    script("text: done")
    return RowsWorld(held_turn(alice))


def held_turn(user: User) -> Turn:
    command = TurnSend(client_id=str(uuid4()), text="Hi", model="scripted", long_thinking=True)
    turn = dispatch.submit_turn(user, command)
    assert turns.claim(turn.id) == 1
    return turn


class TestDatabaseNotebook(NotebookContract):
    pass


async def test_a_worker_that_lost_the_turn_writes_nothing(world: RowsWorld):
    await Turn.objects.filter(id=world.turn.id).aupdate(fence=2)
    with pytest.raises(turns.TurnLost):
        await world.notebook.write_plan(LINES)
    with pytest.raises(turns.TurnLost):
        await world.notebook.remember("late", evidence=[], key="k")
    assert not await PlanItem.objects.aexists()
    assert not await world.notebook.facts()


async def test_a_turn_that_goes_on_with_another_recalls_what_that_one_saw(world: RowsWorld, alice: User):
    for text in ("right", "wrong"):
        key = await world.step(ToolResult(for_model=text))
        await world.notebook.remember(text, evidence=[], key=key)
    await world.roll_back(1)
    later = RowsWorld(await sync_to_async(held_turn)(alice))
    await Turn.objects.filter(id=later.turn.id).aupdate(continues=world.turn)
    async for fact in Fact.objects.filter(turn=world.turn):  # as turns.start copies them
        await Fact.objects.acreate(turn=later.turn, key=fact.key, text=fact.text)
    found = await later.notebook.find("functions.search:0")
    assert found is not None
    assert found.text == "right"
    assert [fact.text for fact in await later.notebook.facts()] == ["right"]
    assert await later.notebook.step_of("functions.search:0") is None, "it cannot go back behind its start"
