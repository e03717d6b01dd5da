"""Thousands of comings and goings leave no block held, and memory where it was."""

import random

import psutil
import pytest

from inference.engine import Engine, SamplingParams
from inference.engine.scheduler import SchedulerLimits
from inference.model.port import Model
from tests.inference import tiny_model
from tests.inference.engine.conftest import loader_of
from tests.inference.engine.driving import prompt, sequence

NUM_EVENTS = 4500


@pytest.fixture
def engine(tiny_native: Model) -> Engine:
    limits = SchedulerLimits(max_running=6, step_tokens=160, step_s=0.01)
    return loader_of(tiny_native)(num_blocks=24, limits=limits)


class Crowd:
    """Callers that add, abort, force and step at random; `live` are those not yet answered to the end."""

    def __init__(self, engine: Engine, *, seed: int) -> None:
        self.engine = engine
        self.random = random.Random(seed)
        self.live: set[str] = set()
        self.num_added = 0
        self.reasons: dict[str | None, int] = {}

    def act(self) -> None:
        kind = self.random.random()
        if kind < 0.22 and len(self.live) < 30:
            self.add()
        elif kind < 0.32 and self.live:
            gone = self.random.choice(sorted(self.live))
            self.engine.abort(gone)
            self.live.discard(gone)
            self.step()
        elif kind < 0.36 and self.live:
            self.engine.force(self.random.choice(sorted(self.live)), [9, 10, 11])
        else:
            self.step()

    def add(self) -> None:
        choose = self.random
        self.num_added += 1
        ids = [
            *prompt(choose.randrange(3), choose.choice((1, 64, 130))),
            *prompt(self.num_added, choose.randrange(1, 200)),
        ]
        if choose.random() < 0.05:
            ids.append(tiny_model.POISONED_TOKEN)
        sampling = SamplingParams(
            temperature=choose.choice((0, 1)),
            top_k=choose.choice((0, 20)),
            presence_penalty=choose.choice((0, 0.4)),
        )
        asked = sequence(
            str(self.num_added),
            ids,
            sampling=sampling,
            max_tokens=choose.randrange(1, 60),
            salt=choose.choice("ab"),
            priority=choose.randrange(3),
            stop_ids=[3],
        )
        self.engine.add(asked)
        self.live.add(asked.id)

    def step(self) -> None:
        for output in self.engine.step():
            assert output.sequence_id in self.live, "an output after the end"
            if output.finish_reason is not None:
                self.live.discard(output.sequence_id)
                self.reasons[output.finish_reason] = self.reasons.get(output.finish_reason, 0) + 1


def test_a_long_crowd_leaves_nothing_behind(engine: Engine) -> None:
    crowd = Crowd(engine, seed=1)
    process = psutil.Process()
    for _ in range(NUM_EVENTS // 3):
        crowd.act()
    early = process.memory_info().rss
    for _ in range(2 * NUM_EVENTS // 3):
        crowd.act()
    grown = process.memory_info().rss - early
    while engine.has_work():
        crowd.step()
    told = engine.describe()
    assert crowd.live == set()
    assert (told["num_blocks_used"], told["num_running"], told["num_waiting"]) == (0, 0, 0)
    assert told["num_blocks_cached"] + told["num_blocks_free"] == 24
    assert set(crowd.reasons) == {"length", "stop", "error"}
    assert told["preemptions_total"] > 20
    assert told["accepted_tokens_total"] > 0
    assert grown < 16 * 2**20


def test_an_abort_frees_its_blocks_at_the_next_step_in_any_state(engine: Engine) -> None:
    chosen = random.Random(2)
    for trial in range(60):
        names = [f"{trial} {number}" for number in range(8)]
        for number, name in enumerate(names):
            engine.add(sequence(name, prompt(number, chosen.randrange(1, 300)), max_tokens=100))
        for _ in range(chosen.randrange(12)):
            engine.step()
        for name in names:
            engine.abort(name)
        assert engine.step() == []
        assert (engine.describe()["num_blocks_used"], engine.has_work()) == (0, False)
