"""What a model and its provider can do wrong, and at which step of a plan it is done."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What goes wrong. Those of the wire and of the whole reply pass when the call is made again; the others
    are said by the model, which does it right in its next step."""

    # the wire
    BUSY = "busy"  # 429 with retry-after
    FAILS = "fails"  # 500
    STALLS = "stalls"  # begins, then says nothing more
    SLOW = "slow"  # says nothing for a while before it begins
    CUT = "cut"  # the connection ends in mid-answer
    QUOTA = "quota"  # 429 insufficient_quota
    UNPAID = "unpaid"  # 402
    OVERFLOW = "overflow"  # 400: the context is too long
    # the whole reply
    EMPTY = "empty"
    THINKING = "thinking"  # reasoning and nothing else
    # what the model says: a platform can mend these
    TRAILING = "trailing"  # words behind the arguments' JSON
    STRINGIFIED = "stringified"  # the arguments' object inside a string
    FENCED = "fenced"  # in a Markdown fence
    DUPLICATE_IDS = "duplicate_ids"
    FOREIGN_IDS = "foreign_ids"
    NO_IDS = "no_ids"
    # and these it can only tell the model
    MALFORMED = "malformed"
    WRONG_TYPES = "wrong_types"
    MISSING = "missing"  # an argument that is required
    UNKNOWN_TOOL = "unknown_tool"
    REPEATED = "repeated"  # the same call again


OF_THE_WIRE = frozenset(
    (
        *(Fault.BUSY, Fault.FAILS, Fault.STALLS, Fault.SLOW, Fault.CUT, Fault.QUOTA, Fault.UNPAID),
        *(Fault.OVERFLOW, Fault.EMPTY, Fault.THINKING),
    )
)
MENDED = frozenset(
    (
        *(Fault.TRAILING, Fault.STRINGIFIED, Fault.FENCED),
        *(Fault.DUPLICATE_IDS, Fault.FOREIGN_IDS, Fault.NO_IDS),
    )
)
TOLD = frozenset(Fault) - OF_THE_WIRE - MENDED
# What a patient platform gets over by itself and soon: these a share of the steps may be struck by.
ORDINARY = tuple(
    fault
    for fault in Fault
    if fault not in (Fault.STALLS, Fault.QUOTA, Fault.UNPAID, Fault.OVERFLOW, Fault.REPEATED)
)


@dataclass(frozen=True)
class Strike:
    """The fault at this step of the plan, so many times."""

    fault: Fault
    step: int
    times: int = 1


def parse(words: str) -> tuple[Strike, ...]:
    """`malformed@3,busy@5x2`: one fault at step 3, another twice at step 5. Raises ValueError."""
    return tuple(_strike(word) for word in words.split(",") if word)


def _strike(word: str) -> Strike:
    name, _, place = word.partition("@")
    step, _, times = place.partition("x")
    return Strike(Fault(name), int(step), int(times or 1))


def at(step: int, strikes: Iterable[Strike], *, share: float, seed: int) -> Strike | None:
    """What strikes this step: what was asked for, else by the seed."""
    for strike in strikes:
        if strike.step == step:
            return strike
    draw = random.Random(f"fault {seed} {step}")
    return Strike(draw.choice(ORDINARY), step) if draw.random() < share else None
