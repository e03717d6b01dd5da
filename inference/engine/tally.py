"""Counts of what an engine has done since it was made."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from inference.engine.sequence import StepOutput


@dataclass
class Tally:
    """`batch_size` and `step_ms` are those of the last step. `prompt_tokens_total` counts computed ones, some
    of them again after a preemption, and `cached_tokens_total` those that were found.
    """

    steps_total: int = 0
    prompt_tokens_total: int = 0
    cached_tokens_total: int = 0
    output_tokens_total: int = 0
    drafted_tokens_total: int = 0
    accepted_tokens_total: int = 0
    failed_sequences_total: int = 0
    batch_size: int = 0
    step_ms: float = 0.0

    def count_step(self, *, num_sequences: int, num_prompt_tokens: int, elapsed_s: float) -> None:
        self.steps_total += 1
        self.prompt_tokens_total += num_prompt_tokens
        self.batch_size = num_sequences
        self.step_ms = round(1000 * elapsed_s, 3)

    def count_outputs(self, outputs: Iterable[StepOutput]) -> None:
        for output in outputs:
            self.output_tokens_total += len(output.token_ids)
            self.failed_sequences_total += output.finish_reason == "error"

    def describe(self) -> dict[str, Any]:
        return asdict(self)
