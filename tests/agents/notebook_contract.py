"""What every notebook promises, whatever keeps it."""

from datetime import UTC, datetime
from typing import Protocol

from agents.happenings import PlanLine
from agents.notebook import Notebook, unknown_names
from agents.tool import NewArtifact, NewPassage, ToolResult, Trust
from inference.schema import ToolCall

LINES = (
    PlanLine(text="Find the length", phase="gather", status="done", evidence=["functions.search:0"]),
    PlanLine(text="Check it", phase="verify"),
)


def passage(text: str) -> NewPassage:
    return NewPassage(source="https://example.org", title="Rivers", text=text, fetched_at=datetime.now(UTC))


class World(Protocol):
    """A turn that goes on beside its notebook."""

    @property
    def notebook(self) -> Notebook: ...

    async def step(self, result: ToolResult, *, call: str = 'search {"query": "river"}') -> str:
        """A further step with one call that brought this; the key of the call. `look` and the like change
        nothing, `post` changes the world outside."""
        ...

    async def roll_back(self, to_step: int, *, phase: str = "") -> None: ...


class NotebookContract:
    """The tests; `world` is a fixture of who inherits them."""

    async def test_a_new_notebook_is_empty(self, world: World):
        notebook = world.notebook
        assert await notebook.plan() == ()
        assert await notebook.facts() == ()
        assert await notebook.rollbacks() == ()
        assert await notebook.find("functions.search:0") is None

    async def test_the_plan_is_replaced_as_a_whole_and_the_same_twice_is_once(self, world: World):
        for _ in range(2):
            await world.notebook.write_plan(LINES)
            assert await world.notebook.plan() == LINES
        await world.notebook.write_plan(LINES[:1])
        assert await world.notebook.plan() == LINES[:1]

    async def test_a_fact_is_kept_once_for_each_call(self, world: World):
        first = await world.step(ToolResult(for_model="ok"))
        second = await world.step(ToolResult(for_model="ok"))
        for _ in range(2):
            fact = await world.notebook.remember("6,400 km", evidence=["functions.search:0"], key=first)
            assert fact.id == "F1"
        assert (await world.notebook.remember("in Brazil", evidence=[], key=second)).id == "F2"
        facts = await world.notebook.facts()
        assert [(fact.id, fact.text, fact.evidence) for fact in facts] == [
            ("F1", "6,400 km", ("functions.search:0",)),
            ("F2", "in Brazil", ()),
        ]

    async def test_facts_of_steps_that_were_taken_back_are_gone_but_their_ids_are_not_used_again(
        self, world: World
    ):
        for text in ("right", "wrong"):
            key = await world.step(ToolResult(for_model="ok"))
            await world.notebook.remember(text, evidence=[], key=key)
        await world.roll_back(1, phase="gather")
        assert [fact.text for fact in await world.notebook.facts()] == ["right"]
        key = await world.step(ToolResult(for_model="ok"))
        assert (await world.notebook.remember("better", evidence=[], key=key)).id == "F3"
        assert [fact.text for fact in await world.notebook.facts()] == ["right", "better"]
        [rollback] = await world.notebook.rollbacks()
        assert (rollback.step, rollback.to_step, rollback.phase) == (2, 1, "gather")

    async def test_everything_the_model_has_seen_is_found_by_its_name(self, world: World):
        result = ToolResult(
            for_model="See [1].",
            passages=(passage("The Amazon is 6,400 km long."),),
            artifacts=(NewArtifact(name="search-1-0.txt", text="all of it"),),
            trust=Trust.WEB,
        )
        key = await world.step(result)
        await world.notebook.remember("6,400 km", evidence=["[1]"], key=key)
        found = {
            name: await world.notebook.find(name)
            for name in ("functions.search:0", "search-1-0.txt", "[1]", "1", "F1")
        }
        texts = {name: made.text for name, made in found.items() if made}
        assert texts == {
            "functions.search:0": "See [1].",
            "search-1-0.txt": "all of it",
            "[1]": "The Amazon is 6,400 km long.",
            "1": "The Amazon is 6,400 km long.",
            "F1": "F1: 6,400 km [[1]]",
        }
        assert all(made.trust is Trust.WEB for name, made in found.items() if made and name != "F1")
        names = ["F1", "[2]", "functions.search:1", "", "F", "[-1]", "²", "0"]
        assert await unknown_names(world.notebook, names) == names[1:]

    async def test_a_call_that_was_taken_back_is_no_place_to_go_to(self, world: World):
        for _ in range(3):
            await world.step(ToolResult(for_model="ok"))
        await world.roll_back(1)
        steps = [await world.notebook.step_of(f"functions.search:{number}") for number in range(4)]
        assert steps == [1, None, None, None]

    async def test_later_calls_that_changed_the_world_are_told(self, world: World):
        for call in ('post {"to": "alice"}', "search {}", 'post {"to": "bob"}'):
            await world.step(ToolResult(for_model="ok"), call=call)
        assert await world.notebook.effects_after(1) == (
            ToolCall(id="functions.post:2", name="post", arguments='{"to": "bob"}'),
        )
