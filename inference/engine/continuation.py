"""How a sequence goes on once its next logits are there: forced tokens, a constraint, a draw, guesses to
check.
"""

from dataclasses import dataclass, field

from inference.engine import sampler
from inference.engine.progress import Progress
from inference.engine.sampler import Floats, NothingAllowed
from inference.engine.sequence import ConstraintFailed, FinishReason, TokenConstraint, TokenLogprob

NOT_FINITE = "the model computed numbers that are not finite; the sequence was ended"
_NOTHING_ALLOWED = "the constraint allows none of the model's tokens here"
_CERTAIN = TokenLogprob(logprob=0.0, top=[])


@dataclass(kw_only=True)
class Continuation:
    """New tokens and, where the sequence ends with them, why. `num_accepted` guesses are among them.

    `is_sound` is False when the model's numbers were not finite.
    """

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    num_accepted: int = 0
    finish_reason: FinishReason | None = None
    error: str = ""
    is_sound: bool = True

    def end(self, reason: FinishReason, error: str = "") -> None:
        self.finish_reason = reason
        self.error = error


def of(progress: Progress, rows: Floats, *, draft: list[int], room: int) -> Continuation:
    """Append to a sequence what comes next, at most `room` tokens.

    rows  fp32 [len(draft) + 1, vocab_size]: the logits behind its last token, then behind each guess

    A guess stands where the draw that it stood for gives the same token, so that the output is as if each
    token had been computed by itself. Forced tokens are appended all at once.
    """
    new = Continuation()
    constraint = progress.sequence.constraint
    try:
        if constraint is not None and constraint.is_finished:
            new.end("stop")
        elif not _append_forced(progress, constraint, new, room):
            _append_drawn(progress, rows, draft, new, room)
    except NothingAllowed:
        new.end("error", _NOTHING_ALLOWED)
    except ConstraintFailed as failure:
        new.end("error", str(failure))
    if new.finish_reason is None and len(new.token_ids) >= room:
        new.end("length")
    return new


def is_forced(progress: Progress) -> bool:
    """Whether the constraint leaves one way to go on, or none because it fails: `of` will tell."""
    constraint = progress.sequence.constraint
    try:
        return constraint is not None and bool(constraint.forced())
    except ConstraintFailed:
        return True


def _append_forced(
    progress: Progress, constraint: TokenConstraint | None, new: Continuation, room: int
) -> bool:
    """Whether something was forced: by the engine's caller, else by the constraint."""
    if progress.forced_ids:
        token_ids = list(progress.forced_ids)[:room]
        progress.forced_ids.clear()
        _append(progress, token_ids, new)
        return True
    token_ids = constraint.forced()[:room] if constraint is not None else []
    if not token_ids:
        return False
    stop_ids = progress.sequence.stop_ids
    end = next((index for index, token_id in enumerate(token_ids) if token_id in stop_ids), None)
    _append(progress, token_ids[:end], new)
    if end is not None:
        new.end("stop")
    return True


def _append_drawn(progress: Progress, rows: Floats, draft: list[int], new: Continuation, room: int) -> None:
    """One token, and one more for each guess that it and those before it prove right."""
    constraint = progress.sequence.constraint
    for index, logits in enumerate(rows):
        if index > 0 and not sampler.is_finite(logits):
            new.end("error", NOT_FINITE)
            new.is_sound = False
            return
        token_id = _draw(progress, logits)
        if token_id in progress.sequence.stop_ids:
            new.end("stop")
            return
        if progress.sequence.sampling.num_logprobs is not None:
            new.logprobs.append(progress.sampler.logprob(logits, token_id))
        _append(progress, [token_id], new)
        if new.finish_reason is not None or len(new.token_ids) >= room:
            return
        if index == len(draft) or token_id != draft[index]:
            return
        if constraint is not None and constraint.forced():
            return  # the next step appends it, as it would have without guesses
        new.num_accepted += 1


def _draw(progress: Progress, logits: Floats) -> int:
    constraint = progress.sequence.constraint
    mask = constraint.mask() if constraint is not None else None
    return progress.sampler.draw(logits, position=len(progress.token_ids), mask=mask)


def _append(progress: Progress, token_ids: list[int], new: Continuation) -> None:
    constraint = progress.sequence.constraint
    progress.token_ids += token_ids
    progress.sampler.count(token_ids)
    new.token_ids += token_ids
    if progress.sequence.sampling.num_logprobs is not None:
        new.logprobs += [_CERTAIN] * (len(new.token_ids) - len(new.logprobs))
    if constraint is not None and token_ids:
        constraint.accept(token_ids)
        if constraint.is_finished:
            new.end("stop")
