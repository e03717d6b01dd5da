"""However sequences are batched, cut, shared, preempted and guessed ahead, each says what it says alone."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.engine import Engine, SamplingParams, Sequence
from inference.engine.scheduler import SchedulerLimits
from inference.model.port import Model
from tests.inference.engine.conftest import loader_of
from tests.inference.engine.driving import DEADLINE_STEPS, Answer, gather, prompt

ALONE = SchedulerLimits(max_running=1, step_tokens=512, step_s=None)


@dataclass(frozen=True)
class Asked:
    """`begins` names the shared beginning, `repeats` makes the prompt say one thing over and over."""

    begins: int
    num_shared: int
    num_own: int
    repeats: bool
    sampling: SamplingParams
    max_tokens: int
    arrives: int
    priority: int

    def sequence(self, name: str, *, salt: str) -> Sequence:
        own = prompt(len(name) + self.num_own, 5 if self.repeats else self.num_own)
        own = (own * self.num_own)[: self.num_own]
        ids = [*prompt(self.begins, self.num_shared), *own]
        return Sequence(name, ids, self.sampling, self.max_tokens, salt=salt, priority=self.priority)


SAMPLINGS = st.one_of(
    st.just(SamplingParams(temperature=0)),
    st.just(SamplingParams(temperature=0, frequency_penalty=0.5, presence_penalty=0.3)),
    st.builds(
        SamplingParams,
        temperature=st.sampled_from([0.2, 0.8, 1.5]),
        top_k=st.sampled_from([0, 5]),
        top_p=st.sampled_from([0.7, 1.0]),
        repetition_penalty=st.sampled_from([1.0, 1.2]),
        seed=st.integers(0, 100),
    ),
)
ASKED = st.builds(
    Asked,
    begins=st.integers(0, 1),
    num_shared=st.sampled_from([1, 63, 64, 65, 128, 200]),
    num_own=st.integers(1, 90),
    repeats=st.booleans(),
    sampling=SAMPLINGS,
    max_tokens=st.integers(1, 70),
    arrives=st.integers(0, 30),
    priority=st.integers(0, 1),
)
LIMITS = st.builds(
    SchedulerLimits,
    max_running=st.integers(1, 5),
    step_tokens=st.integers(24, 200),
    step_s=st.just(None),
    patience_steps=st.sampled_from([5, 500]),
)
TRIALS = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def run_arriving(engine: Engine, asked: list[Asked], *, salt: str) -> dict[str, Answer]:
    """Each sequence is added at its step."""
    answers: dict[str, Answer] = {}
    arrivals = sorted(enumerate(asked), key=lambda pair: pair[1].arrives)
    for step in range(DEADLINE_STEPS):
        while arrivals and (arrivals[0][1].arrives <= step or not engine.has_work()):
            number, each = arrivals.pop(0)
            engine.add(each.sequence(str(number), salt=salt))
        if not arrivals and not engine.has_work():
            return answers
        gather(answers, engine.step())
    raise AssertionError("the engine does not come to an end")


def check(
    model: Model,
    asked: list[Asked],
    limits: SchedulerLimits,
    num_blocks: int,
    *,
    speculates: bool,
    kv_dtype: torch.dtype | None = None,
) -> None:
    load = loader_of(model, kv_dtype=kv_dtype)
    company = load(num_blocks=num_blocks, limits=limits, speculates=speculates)
    together = [run_arriving(company, asked, salt="") for _ in range(2)]
    assert company.describe()["num_blocks_used"] == 0
    for number, each in enumerate(asked):
        alone = load(limits=ALONE, speculates=False)
        expected = run_arriving(alone, [each], salt="")["0"].token_ids
        # The second time their prompts are cached.
        assert [answers[str(number)].token_ids for answers in together] == [expected, expected]


@settings(TRIALS, max_examples=40)
@given(
    architecture=st.sampled_from(["dense", "k2"]),
    kv_dtype=st.sampled_from([torch.bfloat16, torch.float8_e4m3fn]),
    asked=st.lists(ASKED, min_size=1, max_size=6),
    limits=LIMITS,
    num_blocks=st.integers(9, 40),
    speculates=st.booleans(),
)
def test_native_output_is_the_same_bit_for_bit(
    tiny_native: Model,
    tiny_k2: Model,
    architecture: str,
    kv_dtype: torch.dtype,
    asked: list[Asked],
    limits: SchedulerLimits,
    num_blocks: int,
    speculates: bool,
) -> None:
    """Grouped-query attention and a dense MLP, and latent attention and experts."""
    model = tiny_k2 if architecture == "k2" else tiny_native
    check(model, asked, limits, num_blocks, speculates=speculates, kv_dtype=kv_dtype)


@settings(TRIALS, max_examples=8)
@given(
    asked=st.lists(ASKED, min_size=1, max_size=4),
    limits=LIMITS,
    num_blocks=st.integers(9, 40),
    speculates=st.booleans(),
)
def test_torch_output_is_the_same_in_fp32(
    tiny_torch: Model, asked: list[Asked], limits: SchedulerLimits, num_blocks: int, speculates: bool
) -> None:
    check(tiny_torch, asked, limits, num_blocks, speculates=speculates)


def test_right_guesses_save_steps(tiny_native: Model) -> None:
    """A model that repeats itself is guessed; what it says stays the same."""
    load = loader_of(tiny_native)
    sequences = [Sequence("a", prompt(1, 30), SamplingParams(temperature=0), 150) for _ in range(2)]
    plain, guessing = load(speculates=False), load(speculates=True)
    said = []
    for engine, sequence in zip((plain, guessing), sequences, strict=True):
        answers: dict[str, Answer] = {}
        engine.add(sequence)
        while engine.has_work():
            gather(answers, engine.step())
        said.append(answers["a"].token_ids)
    assert said[0] == said[1]
    described = guessing.describe()
    assert 0 < described["accepted_tokens_total"] <= described["drafted_tokens_total"]
    assert described["steps_total"] + described["accepted_tokens_total"] == plain.describe()["steps_total"]


@pytest.mark.parametrize("speculates", [False, True])
def test_log_probabilities_do_not_depend_on_guesses(tiny_native: Model, speculates: bool) -> None:
    load = loader_of(tiny_native)
    told = []
    for guesses in (False, speculates):
        engine = load(speculates=guesses)
        engine.add(Sequence("a", prompt(1, 30), SamplingParams(temperature=0, num_logprobs=3), 60))
        answers: dict[str, Answer] = {}
        while engine.has_work():
            gather(answers, engine.step())
        assert len(answers["a"].logprobs) == len(answers["a"].token_ids) == 60
        told.append(answers["a"].logprobs)
    assert told[0] == told[1]
