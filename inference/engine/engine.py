"""Token ids in, token ids out, for many sequences at once. Knows no text, no queue and no clock."""

import os
from collections import deque
from collections.abc import Callable
from typing import Any

from torch import Tensor

from inference.engine import sampler
from inference.engine.model_runner import ModelRunner
from inference.engine.prefix_cache import PrefixCache
from inference.engine.scheduler import Scheduler, SchedulerLimits
from inference.engine.sequence import FinishReason, SamplingParams, Sequence, StepOutput


class PromptTooLong(Exception):
    """The prompt leaves no room for an answer; the text gives both numbers."""


class Engine:
    """`add`, `abort` and `force` may be called from any thread and take effect at the next step; `step` from
    one.
    """

    def __init__(
        self,
        model_runner: ModelRunner,
        *,
        max_context_tokens: int,
        budget_tokens: int,
        limits: SchedulerLimits | None = None,
    ) -> None:
        config = model_runner.model.config
        self._runner = model_runner
        self._caches = PrefixCache(config, dtype=model_runner.dtype, budget_tokens=budget_tokens)
        self._scheduler = Scheduler(self._caches, limits or SchedulerLimits())
        self._inbox: deque[Callable[[], None]] = deque()
        self.max_context_tokens = max_context_tokens

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises PromptTooLong, or ValueError for an empty prompt, an unknown token or no
        room to generate.
        """
        self._check(sequence)
        drawn = int.from_bytes(os.urandom(8), "little")
        sequence.seed = drawn if sequence.sampling.seed is None else sequence.sampling.seed % 2**64
        self._inbox.append(lambda: self._scheduler.add(sequence))

    def abort(self, sequence_id: str) -> None:
        """End a sequence without another output. An unknown or finished id is no error."""
        self._inbox.append(lambda: self._abort(sequence_id))

    def force(self, sequence_id: str, token_ids: list[int]) -> None:
        """Make these the sequence's next output tokens; no stop token among them ends it. Unknown ids are no
        error.
        """
        self._inbox.append(lambda: self._force(sequence_id, token_ids))

    def has_work(self) -> bool:
        """Whether `step` has anything to do."""
        return bool(self._inbox or self._scheduler.num_running or self._scheduler.num_waiting)

    def step(self) -> list[StepOutput]:
        """Compute one prefill chunk, or one token of every generating sequence; block until it is done.

        Answers the new tokens, in the order in which the sequences came. A step that only computes part of a
        prompt answers nothing. A sequence whose logits are not finite ends with `error` and its cache is
        thrown away.
        """
        while self._inbox:
            self._inbox.popleft()()
        plan = self._scheduler.plan()
        if plan is None:
            return []
        logits, are_finite = self._runner.run(plan)
        outputs = []
        for sequence, row, is_finite in zip(plan.sequences, logits, are_finite, strict=True):
            if not is_finite:
                outputs.append(self._fail(sequence))
            elif sequence.num_uncomputed == 0:
                outputs.append(self._extend(sequence, row))
        return outputs

    def warm_up(self) -> None:
        """Run a prompt and a token, so that the first request does not pay for first-time set-up."""
        num_tokens = min(64, self.max_context_tokens - 2)
        self.add(Sequence("warm-up", [0] * num_tokens, SamplingParams(temperature=0), max_tokens=2))
        while self.has_work():
            self.step()
        self._caches.clear()

    def describe(self) -> dict[str, Any]:
        """What runs here and how full it is, for health pages and logs."""
        return {
            "model": self._runner.model.config.name,
            "architecture": self._runner.model.config.architecture,
            "kernel": self._runner.kernel,
            "dtype": str(self._runner.dtype).removeprefix("torch."),
            "max_context_tokens": self.max_context_tokens,
            "cache_tokens": self._caches.budget_tokens,
            "cache_tokens_used": self._caches.num_used_tokens,
            "cache_tokens_kept": self._caches.num_kept_tokens,
            "num_running": self._scheduler.num_running,
            "num_waiting": self._scheduler.num_waiting,
        }

    def _check(self, sequence: Sequence) -> None:
        num_tokens = len(sequence.prompt_ids)
        if num_tokens >= self.max_context_tokens:
            raise PromptTooLong(
                f"the prompt has {num_tokens} tokens; the model reads at most {self.max_context_tokens - 1}"
            )
        vocab_size = self._runner.model.config.vocab_size
        if not sequence.prompt_ids or not all(0 <= token_id < vocab_size for token_id in sequence.prompt_ids):
            raise ValueError(f"a prompt is one or more token ids below {vocab_size}")
        if sequence.max_tokens < 1:
            raise ValueError(f"max_tokens is {sequence.max_tokens}; it must be at least 1")

    def _abort(self, sequence_id: str) -> None:
        sequence = self._scheduler.find(sequence_id)
        if sequence is not None:
            self._scheduler.finish(sequence)

    def _force(self, sequence_id: str, token_ids: list[int]) -> None:
        sequence = self._scheduler.find(sequence_id)
        if sequence is not None:
            sequence.forced_ids.extend(token_ids)

    def _extend(self, sequence: Sequence, logits: Tensor) -> StepOutput:
        """Append the next tokens: the forced ones all at once, else one drawn from the logits."""
        room = self._room(sequence)
        if sequence.forced_ids:
            new_ids = list(sequence.forced_ids)[:room]
            sequence.forced_ids.clear()
        else:
            token_id = sampler.sample(
                logits,
                sequence.sampling,
                seed=sequence.seed,
                position=len(sequence.token_ids),
                output_ids=sequence.output_ids,
            )
            if token_id in sequence.stop_ids:
                return self._finish(sequence, [], "stop")
            new_ids = [token_id]
        sequence.token_ids += new_ids
        if len(new_ids) == room:
            return self._finish(sequence, new_ids, "length")
        return self._output(sequence, new_ids)

    def _room(self, sequence: Sequence) -> int:
        """Tokens that the sequence may still grow by."""
        left_in_context = self.max_context_tokens - len(sequence.token_ids)
        return min(sequence.max_tokens - sequence.num_output_tokens, left_in_context)

    def _finish(self, sequence: Sequence, token_ids: list[int], reason: FinishReason) -> StepOutput:
        self._scheduler.finish(sequence)
        return self._output(sequence, token_ids, finish_reason=reason)

    def _fail(self, sequence: Sequence) -> StepOutput:
        self._scheduler.finish(sequence, is_sound=False)
        error = "the model computed numbers that are not finite; the sequence was ended"
        return self._output(sequence, [], finish_reason="error", error=error)

    def _output(
        self,
        sequence: Sequence,
        token_ids: list[int],
        *,
        finish_reason: FinishReason | None = None,
        error: str = "",
    ) -> StepOutput:
        return StepOutput(
            sequence_id=sequence.id,
            token_ids=token_ids,
            finish_reason=finish_reason,
            num_cached_tokens=sequence.num_cached_tokens,
            error=error,
        )
