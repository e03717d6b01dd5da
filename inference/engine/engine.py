"""Token ids in, token ids out, for many sequences at once. Knows no text and no queue."""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from inference.checkpoints import BadModelFile
from inference.engine import continuation, sampler
from inference.engine.blocks import BlockPool
from inference.engine.continuation import Continuation
from inference.engine.lookup import PromptLookup
from inference.engine.pace import Pace
from inference.engine.progress import Progress
from inference.engine.sampler import Floats, Sampler
from inference.engine.scheduler import Scheduler, SchedulerLimits, Slice
from inference.engine.sequence import SamplingParams, Sequence, StepOutput
from inference.engine.tally import Tally
from inference.model.kv_pool import BLOCK_TOKENS, KVPool
from inference.model.port import Model, Span


class PromptTooLong(Exception):
    """The prompt leaves no room for an answer; the text gives both numbers."""


class Engine:
    """`add`, `abort` and `force` may be called from any thread and take effect at the next step; `step` from
    one.

    `speculates`: whether guessed tokens are checked along the way, which changes no output where the model's
    numbers do not depend on how a sequence is cut; by default there. `about` goes into `describe`.
    """

    def __init__(
        self,
        model: Model,
        pool: KVPool,
        *,
        max_context_tokens: int,
        limits: SchedulerLimits | None = None,
        speculates: bool | None = None,
        about: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits = limits or SchedulerLimits()
        self._about = dict(about or {})
        self._model = model
        self._pool = pool
        self._clock = clock
        self._blocks = BlockPool(pool.num_blocks)
        self._pace = Pace(limits.step_s)
        self._scheduler = Scheduler(
            self._blocks,
            limits,
            pace=self._pace,
            # Alone, a prompt's last token would be computed as a generated one is.
            least_uncomputed=1 if model.is_cut_invariant else 2,
        )
        self._speculates = model.is_cut_invariant if speculates is None else speculates
        self._inbox: deque[Callable[[], None]] = deque()
        self._tally = Tally()
        self.max_context_tokens = min(max_context_tokens, pool.num_blocks * BLOCK_TOKENS)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises PromptTooLong, or ValueError for an empty prompt, an unknown token or no
        room to generate.
        """
        self._check(sequence)
        seed = sequence.sampling.seed
        progress = Progress(
            sequence=sequence,
            sampler=Sampler(
                sequence.sampling,
                prompt_ids=sequence.prompt_ids,
                seed=int.from_bytes(os.urandom(8), "little") if seed is None else seed % 2**64,
                vocab_size=self._model.config.vocab_size,
            ),
            lookup=PromptLookup() if self._speculates else None,
        )
        self._inbox.append(lambda: self._scheduler.add(progress))

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
        """Compute the next token of every generating sequence and a piece of the prompts; block until it is
        done.

        A sequence whose prompt is not yet read whole answers nothing. One whose logits are not finite ends
        with `error`, and what was computed of it is thrown away; so does one past its deadline.
        """
        while self._inbox:
            self._inbox.popleft()()
        now = self._clock()
        outputs = [self._fail(late, "the deadline passed") for late in self._scheduler.overdue(now)]
        plan = self._scheduler.plan(self._guess if self._speculates else None)
        if not plan:
            self._tally.count_outputs(outputs)
            return outputs
        rows = self._compute(plan)
        start = 0
        for piece in plan:
            own_rows = rows[start : start + piece.num_logits]
            start += piece.num_logits
            output = self._advance(piece, own_rows)
            if output is not None:
                outputs.append(output)
        self._tally.count_outputs(outputs)
        return outputs

    def warm_up(self) -> None:
        """Run two prompts and some tokens, so that the first request does not pay for first-time set-up and
        the pace is known. Raises BadModelFile when what comes out are no numbers.
        """
        num_tokens = max(1, min(2 * BLOCK_TOKENS, self.max_context_tokens - 2))
        for prompt_ids in ([0] * num_tokens, [1 % self._model.config.vocab_size] * num_tokens):
            self.add(Sequence("warm-up", prompt_ids, SamplingParams(temperature=0), max_tokens=2))
            while self.has_work():
                if any(output.finish_reason == "error" for output in self.step()):
                    raise BadModelFile("the model computes numbers that are not finite: its file is damaged")
        self._blocks.clear()
        self._tally = Tally()

    def describe(self) -> dict[str, Any]:
        """What runs here and how full it is, for health pages and logs; made of counts at hand."""
        return {
            **self._about,
            "model": self._model.config.name,
            "architecture": self._model.config.architecture,
            "kernel": self._model.kernel,
            "kv_dtype": str(self._pool.dtype).removeprefix("torch."),
            "max_context_tokens": self.max_context_tokens,
            "block_tokens": BLOCK_TOKENS,
            "num_blocks": self._blocks.num_blocks,
            "num_blocks_used": self._blocks.num_used,
            "num_blocks_cached": self._blocks.num_kept,
            "num_blocks_free": self._blocks.num_free,
            "max_running": self._limits.max_running,
            "num_running": self._scheduler.num_running,
            "num_waiting": self._scheduler.num_waiting,
            "preemptions_total": self._scheduler.num_preemptions,
            **self._tally.describe(),
        }

    def _check(self, sequence: Sequence) -> None:
        num_tokens = len(sequence.prompt_ids)
        if num_tokens >= self.max_context_tokens:
            is_memory = self.max_context_tokens == self._pool.num_blocks * BLOCK_TOKENS
            reader = "the memory for keys and values holds" if is_memory else "the model reads"
            raise PromptTooLong(
                f"the prompt has {num_tokens} tokens; {reader} at most {self.max_context_tokens - 1}"
            )
        vocab_size = self._model.config.vocab_size
        ids = sequence.prompt_ids
        if not ids or min(ids) < 0 or max(ids) >= vocab_size:
            raise ValueError(f"a prompt is one or more token ids below {vocab_size}")
        if sequence.max_tokens < 1:
            raise ValueError(f"max_tokens is {sequence.max_tokens}; it must be at least 1")

    def _abort(self, sequence_id: str) -> None:
        progress = self._scheduler.find(sequence_id)
        if progress is not None:
            self._scheduler.finish(progress)

    def _force(self, sequence_id: str, token_ids: list[int]) -> None:
        progress = self._scheduler.find(sequence_id)
        if progress is not None:
            progress.forced_ids.extend(token_ids)

    def _guess(self, progress: Progress, most: int) -> list[int]:
        """Tokens that may come next; when all are right, there is room for one more."""
        if progress.lookup is None or progress.forced_ids or continuation.is_forced(progress):
            return []
        most = min(most, self._room(progress) - 1)
        return progress.lookup.propose(progress.token_ids, most=most, row_cost=self._pace.row_cost)

    def _compute(self, plan: list[Slice]) -> Floats:
        """Run the plan's tokens through the model: the logits asked for, in the plan's order."""
        token_ids: list[int] = []
        spans = []
        num_rows = num_prompt_tokens = 0
        for piece in plan:
            progress = piece.progress
            end = progress.num_computed + piece.num_tokens
            token_ids += progress.token_ids[progress.num_computed : end]
            token_ids += piece.draft
            num_tokens = piece.num_tokens + len(piece.draft)
            spans.append(
                Span(
                    block_ids=progress.block_ids,
                    start=progress.num_computed,
                    num_tokens=num_tokens,
                    num_logits=piece.num_logits,
                )
            )
            if progress.is_generating:
                num_rows += num_tokens
            else:
                num_prompt_tokens += num_tokens
        started_at = self._clock()
        rows = self._model.forward(token_ids, spans, self._pool).numpy()
        elapsed_s = self._clock() - started_at
        self._pace.observe(num_rows=num_rows, num_prompt_tokens=num_prompt_tokens, elapsed_s=elapsed_s)
        self._tally.count_step(
            num_sequences=len(plan), num_prompt_tokens=num_prompt_tokens, elapsed_s=elapsed_s
        )
        return rows

    def _advance(self, piece: Slice, rows: Floats) -> StepOutput | None:
        """Take the computed tokens in, and go on where the next ones can be drawn."""
        progress = piece.progress
        is_proven = piece.num_logits > 0 and sampler.is_finite(rows[0])
        if piece.num_logits > 0 and not is_proven:
            return self._fail(progress, continuation.NOT_FINITE, is_sound=False)
        can_draw = piece.is_last
        self._scheduler.record(progress, piece.num_tokens, is_proven=is_proven)
        if not can_draw:
            return None
        if progress.num_output_tokens == 0:
            self._tally.cached_tokens_total += progress.num_cached_tokens
        new = continuation.of(progress, rows, draft=piece.draft, room=self._room(progress))
        if piece.draft and progress.lookup is not None:
            progress.lookup.learn(num_drafted=len(piece.draft), num_accepted=new.num_accepted)
            self._tally.drafted_tokens_total += len(piece.draft)
            self._tally.accepted_tokens_total += new.num_accepted
        if new.num_accepted:
            self._scheduler.record(progress, new.num_accepted, is_proven=new.is_sound)
        if new.finish_reason is not None:
            self._scheduler.finish(progress, is_sound=new.is_sound)
        return _output(progress, new)

    def _room(self, progress: Progress) -> int:
        """Tokens that a sequence may still grow by."""
        left_in_context = self.max_context_tokens - len(progress.token_ids)
        return min(progress.sequence.max_tokens - progress.num_output_tokens, left_in_context)

    def _fail(self, progress: Progress, error: str, *, is_sound: bool = True) -> StepOutput:
        self._scheduler.finish(progress, is_sound=is_sound)
        return _output(progress, Continuation(finish_reason="error", error=error))


def _output(progress: Progress, new: Continuation) -> StepOutput:
    return StepOutput(
        sequence_id=progress.sequence.id,
        token_ids=new.token_ids,
        finish_reason=new.finish_reason,
        num_cached_tokens=progress.num_cached_tokens,
        error=new.error,
        logprobs=new.logprobs,
    )
