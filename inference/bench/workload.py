"""What is measured, the same for every contender: measures with their units, and the prompts."""

import random
from enum import StrEnum

PREFILL_TOKENS = 512
# One stream writes behind a short prompt; streams together have shorter ones still, so that writing counts.
DECODE_PROMPT_TOKENS = 64
DECODE_TOKENS = 64
TOGETHER_PROMPT_TOKENS = 16
TOGETHER_TOKENS = 64
# The answer's first token behind a prompt of which nine tenths, whole blocks of 64, are known already.
FIRST_TOKEN_PROMPT = 1280
FIRST_TOKEN_CACHED = 1152
# Ids that every vocabulary has and none uses for control.
_FIRST_ID, _LAST_ID = 300, 4000


class Measure(StrEnum):
    """One number of a contender; the text names it in tables."""

    DECODE = "decode, one stream"
    PREFILL = "prefill of 512 tokens"
    FOUR = "4 streams together"
    EIGHT = "8 streams together"
    COLD = "first token, prompt cold"
    CACHED = "first token, 90 % cached"
    READ = "memory read"
    LOAD = "load time"
    MEMORY = "peak memory"


UNITS = {
    Measure.COLD: "s",
    Measure.CACHED: "s",
    Measure.LOAD: "s",
    Measure.READ: "GB/s",
    Measure.MEMORY: "GiB",
}
NUM_STREAMS = {Measure.FOUR: 4, Measure.EIGHT: 8}


def unit(measure: Measure) -> str:
    """The measure's unit; tokens/s where nothing else is said."""
    return UNITS.get(measure, "tokens/s")


def prompt(number: int, num_tokens: int) -> list[int]:
    """The same ids for the same number everywhere; two numbers differ from the first token on."""
    drawn = random.Random(number)
    spread = _LAST_ID - _FIRST_ID
    return [_FIRST_ID + number % spread, *(drawn.randint(_FIRST_ID, _LAST_ID) for _ in range(num_tokens - 1))]
