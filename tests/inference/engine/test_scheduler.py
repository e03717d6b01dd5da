"""What each step computes: nobody waits for ever, budgets hold, and whatever ends leaves nothing behind."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inference.engine import SamplingParams, Sequence
from inference.engine.blocks import BlockPool
from inference.engine.pace import Pace
from inference.engine.progress import Progress
from inference.engine.sampler import Sampler
from inference.engine.scheduler import Scheduler, SchedulerLimits, Slice
from inference.model.kv_pool import BLOCK_TOKENS

GREEDY = SamplingParams(temperature=0)
LIMITS = SchedulerLimits(max_running=4, step_tokens=96, step_s=None, patience_steps=50)


class Room:
    """A scheduler, and a stand-in for the model: whatever is planned counts as computed and gets a token."""

    def __init__(self, *, num_blocks: int = 12, limits: SchedulerLimits = LIMITS) -> None:
        self.pool = BlockPool(num_blocks)
        self.limits = limits
        self.scheduler = Scheduler(self.pool, limits, pace=Pace(limits.step_s))
        self.left: dict[Progress, int] = {}  # tokens that an unfinished sequence still wants
        self.done: list[str] = []
        self.num_read_tokens = 0

    def add(
        self, name: str, prompt_ids: list[int], *, wants: int = 1, tenant: str = "", priority: int = 0
    ) -> Progress:
        sequence = Sequence(name, prompt_ids, GREEDY, wants, tenant=tenant, priority=priority)
        sampler = Sampler(GREEDY, prompt_ids=prompt_ids, seed=0, vocab_size=1)
        progress = Progress(sequence=sequence, sampler=sampler)
        self.scheduler.add(progress)
        self.left[progress] = wants
        return progress

    def step(self, draft: list[int] | None = None) -> list[Slice]:
        """One step; of a draft the first half proves right."""
        plan = self.scheduler.plan((lambda progress, most: (draft or [])[:most]) if draft else None)
        self.check(plan)
        for piece in plan:
            can_draw = piece.is_last
            self.num_read_tokens += 0 if piece.progress.is_generating else piece.num_tokens
            self.scheduler.record(piece.progress, piece.num_tokens, is_proven=piece.num_logits > 0)
            if can_draw:
                self.draw(piece)
        return plan

    def draw(self, piece: Slice) -> None:
        progress = piece.progress
        accepted = piece.draft[: (len(piece.draft) + 1) // 2]
        progress.token_ids += [*accepted, 7]
        self.scheduler.record(progress, len(accepted), is_proven=True)
        self.left[progress] -= 1 + len(accepted)
        if self.left[progress] <= 0:
            self.end(progress)

    def end(self, progress: Progress) -> None:
        self.scheduler.finish(progress)
        del self.left[progress]
        self.done.append(progress.sequence.id)

    def check(self, plan: list[Slice]) -> None:
        """A plan keeps to the budget, reaches each sequence once, and has its blocks."""
        assert sum(piece.num_tokens + len(piece.draft) for piece in plan) <= self.limits.step_tokens
        assert len({piece.progress for piece in plan}) == len(plan)
        assert self.scheduler.num_running <= self.limits.max_running
        for piece in plan:
            progress = piece.progress
            end = progress.num_computed + piece.num_tokens + len(piece.draft)
            assert len(progress.block_ids) * BLOCK_TOKENS >= end
            assert 0 < piece.num_tokens <= progress.num_uncomputed
            assert progress.num_uncomputed - piece.num_tokens != 1 or progress.is_generating
        # What is written to is nobody else's.
        written = [
            progress.block_ids[index]
            for progress in (piece.progress for piece in plan)
            for index in range(progress.num_computed // BLOCK_TOKENS, len(progress.block_ids))
        ]
        assert all(self.pool.num_holders(block_id) == 1 for block_id in written)

    def run(self, most_steps: int = 2000) -> int:
        """To the end; the steps it took."""
        for number in range(most_steps):
            if not self.left:
                return number
            assert self.step()
        raise AssertionError(f"unfinished after {most_steps} steps: {len(self.left)}")


def prompt(first: int, num_tokens: int) -> list[int]:
    return [first, *range(num_tokens - 1)]


@settings(max_examples=60, deadline=None)
@given(
    asked=st.lists(
        st.tuples(
            st.integers(1, 300),  # prompt tokens
            st.integers(1, 200),  # output tokens
            st.sampled_from("abc"),  # tenant
            st.integers(-1, 2),  # priority
            st.integers(0, 2),  # which beginning
        ),
        min_size=1,
        max_size=8,
    ),
    draft_length=st.integers(0, 6),
)
def test_everything_finishes_and_gives_its_memory_back(
    asked: list[tuple[int, int, str, int, int]], draft_length: int
) -> None:
    room = Room()
    for number, (num_tokens, wants, tenant, priority, first) in enumerate(asked):
        room.add(str(number), prompt(first, num_tokens), wants=wants, tenant=tenant, priority=priority)
    while room.left:
        assert room.step([7] * draft_length), "a step with nothing in it, and work left"
    assert sorted(room.done) == sorted(str(number) for number in range(len(asked)))
    assert room.pool.num_used == 0


class Comings(RuleBasedStateMachine):
    """Sequences come, go on and are ended at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(num_blocks=10)
        self.num_added = 0

    @rule(
        num_tokens=st.integers(1, 400),
        wants=st.integers(1, 120),
        first=st.integers(0, 2),
        priority=st.integers(0, 2),
    )
    def add(self, num_tokens: int, wants: int, first: int, priority: int) -> None:
        self.num_added += 1
        ids = prompt(first, num_tokens)
        self.room.add(str(self.num_added), ids, wants=wants, tenant=str(first), priority=priority)

    @rule(num_steps=st.integers(1, 20))
    def step(self, num_steps: int) -> None:
        for _ in range(num_steps):
            has_work = bool(self.room.left)
            assert bool(self.room.step()) == has_work

    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        if self.room.left:
            self.room.end(data.draw(st.sampled_from(list(self.room.left))))

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        if self.room.left:
            progress = data.draw(st.sampled_from(list(self.room.left)))
            tainted = list(progress.block_ids)
            self.room.scheduler.finish(progress, is_sound=False)
            del self.room.left[progress]
            assert all(
                self.room.pool.num_holders(block_id) == 0 for block_id in tainted if self.alone(block_id)
            )

    def alone(self, block_id: int) -> bool:
        return not any(block_id in progress.block_ids for progress in self.room.left)

    @invariant()
    def blocks_are_held_by_those_that_run(self) -> None:
        held = [block_id for progress in self.room.left for block_id in progress.block_ids]
        for block_id in range(self.room.pool.num_blocks):
            assert self.room.pool.num_holders(block_id) == held.count(block_id)

    def teardown(self) -> None:
        self.room.run()
        assert self.room.pool.num_used == 0


TestComings = Comings.TestCase
TestComings.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_a_prompt_being_read_is_not_read_twice() -> None:
    room = Room(num_blocks=64)
    together = [room.add(str(number), prompt(1, 320), wants=3) for number in range(4)]
    room.run()
    # The whole prompt once, and the last block, which is never shared whole, by each of the others.
    assert room.num_read_tokens == 320 + 3 * BLOCK_TOKENS
    assert [progress.num_cached_tokens for progress in together] == [0, 256, 256, 256]


def test_a_shared_beginning_is_waited_for_no_longer_than_it_is_read() -> None:
    room = Room(num_blocks=64)
    room.add("long", prompt(1, 1500))
    short = room.add("short", [*prompt(1, 128), 9, 9, 9])
    for _ in range(6):
        room.step()
    assert (short.num_cached_tokens, "short" in room.done, "long" in room.done) == (128, True, False)


def test_a_sequence_goes_on_by_itself_when_the_one_it_waited_for_is_gone() -> None:
    room = Room(num_blocks=64)
    first = room.add("first", prompt(1, 400))
    room.add("second", prompt(1, 400))
    room.step()
    room.end(first)
    room.run()
    assert room.done == ["first", "second"]


def test_others_generate_while_a_long_prompt_is_read() -> None:
    room = Room(num_blocks=64)
    talker = room.add("talker", prompt(1, 5), wants=100)
    room.step()
    room.add("reader", prompt(2, 900))
    for _ in range(8):
        plan = {piece.progress.sequence.id: piece.num_tokens for piece in room.step()}
        assert plan == {"talker": 1, "reader": 95}
    assert talker.num_output_tokens == 9


def test_a_tenant_s_short_prompt_does_not_wait_for_another_s_long_one() -> None:
    room = Room(num_blocks=256)
    for number in range(3):
        room.add(f"flood {number}", prompt(number, 4000), tenant="flood")
    for _ in range(10):
        room.step()
    room.add("short", prompt(9, 80), tenant="quiet")
    for _ in range(3):
        room.step()
    assert room.done == ["short"]


def test_tenants_are_served_alike_however_much_they_ask() -> None:
    room = Room(num_blocks=256, limits=SchedulerLimits(max_running=4, step_tokens=40, step_s=None))
    computed = {"flood": 0, "quiet": 0}
    for number in range(30):
        room.add(f"flood {number}", prompt(100 + number, 300), tenant="flood")
    for number in range(4):
        room.add(f"quiet {number}", prompt(200 + number, 300), tenant="quiet")
    while any(progress.tenant == "quiet" for progress in room.left):
        for piece in room.step():
            computed[piece.progress.tenant] += piece.num_tokens
    assert computed["quiet"] == 1200
    assert computed["flood"] <= 1200 + 300


def test_a_higher_priority_takes_place_and_memory_of_a_lower_one() -> None:
    room = Room(num_blocks=8)
    low = room.add("low", prompt(1, 400), wants=50, priority=0)
    for _ in range(6):
        room.step()
    room.add("high", prompt(2, 400), wants=5, priority=1)
    room.step()
    assert low.block_ids == []
    room.run()
    assert room.done == ["high", "low"]
    assert room.scheduler.num_preemptions == 1


def test_a_low_priority_comes_first_once_it_has_waited_long_enough() -> None:
    room = Room(num_blocks=32, limits=SchedulerLimits(max_running=1, step_s=None, patience_steps=20))
    room.add("busy 0", prompt(1, 10), wants=5, priority=2)
    room.step()
    room.add("low", prompt(2, 10), wants=5, priority=0)
    while "low" not in room.done:
        while len(room.left) < 4:
            room.add(f"busy {len(room.done)} {len(room.left)}", prompt(3, 10), wants=5, priority=2)
        room.step()
    assert 5 < len(room.done) < 15


def test_what_a_sequence_computed_itself_does_not_count_as_cached_after_a_preemption() -> None:
    room = Room(num_blocks=8)
    low = room.add("low", prompt(1, 450), priority=0)
    for _ in range(4):
        room.step()
    room.add("high", prompt(2, 20), wants=70, priority=1)
    room.run()
    assert room.scheduler.num_preemptions == 1
    assert low.num_cached_tokens == 0
    # Of the 384 tokens of four steps it found again the 256 that were proven.
    assert room.num_read_tokens == 384 + 20 + (450 - 256)


def test_the_latest_gives_way_when_memory_runs_out() -> None:
    room = Room(num_blocks=6)
    for name, first in (("early", 1), ("late", 2)):
        room.add(name, prompt(first, 120), wants=150)
    room.run()
    assert room.done == ["early", "late"]
    assert room.scheduler.num_preemptions >= 1


@pytest.mark.parametrize(("max_running", "step_tokens"), [(0, 100), (90, 100)])
def test_limits_under_which_prompts_would_starve_are_refused(max_running: int, step_tokens: int) -> None:
    with pytest.raises(ValueError, match="each running sequence"):
        SchedulerLimits(max_running=max_running, step_tokens=step_tokens)
