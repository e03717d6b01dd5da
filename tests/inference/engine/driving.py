"""Drive an engine to the end and gather what each sequence got."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from inference.engine import Engine, SamplingParams, Sequence, StepOutput, TokenConstraint, TokenLogprob

GREEDY = SamplingParams(temperature=0)
DEADLINE_STEPS = 5000


@dataclass
class Answer:
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    num_cached_tokens: int = 0
    error: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)


def prompt(start: int, num_tokens: int) -> list[int]:
    """A prompt of its own for each `start`, free of the poisoned token."""
    return [8 + (start * 37 + 11 * index) % 500 for index in range(num_tokens)]


def sequence(
    id_: str,
    prompt_ids: list[int],
    *,
    sampling: SamplingParams = GREEDY,
    max_tokens: int = 12,
    stop_ids: Iterable[int] = (),
    salt: str = "",
    constraint: TokenConstraint | None = None,
    priority: int = 0,
    deadline_at: float | None = None,
) -> Sequence:
    return Sequence(
        id_,
        prompt_ids,
        sampling,
        max_tokens,
        frozenset(stop_ids),
        salt,
        constraint=constraint,
        priority=priority,
        deadline_at=deadline_at,
    )


def gather(answers: dict[str, Answer], outputs: list[StepOutput]) -> None:
    for output in outputs:
        answer = answers.setdefault(output.sequence_id, Answer())
        assert answer.finish_reason is None, "an output after the last one"
        answer.token_ids += output.token_ids
        answer.finish_reason = output.finish_reason
        answer.num_cached_tokens = output.num_cached_tokens
        answer.error = output.error
        answer.logprobs += output.logprobs


def run(engine: Engine, *sequences: Sequence) -> dict[str, Answer]:
    for each in sequences:
        engine.add(each)
    answers: dict[str, Answer] = {}
    for _ in range(DEADLINE_STEPS):
        if not engine.has_work():
            return answers
        gather(answers, engine.step())
    raise AssertionError("the engine does not come to an end")
