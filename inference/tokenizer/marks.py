"""How models mark reasoning and tool calls, and how a parser of their text gets to see it.

Where the vocabulary has a token for a mark, only that token counts: it is shown to the parser as one lone
surrogate, a character that no decoded text can hold, so that text which merely spells a mark stays text.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from functools import cached_property

# The marks around a call that is one JSON object.
TOOL_CALL_OPEN = "<tool_call>"
TOOL_CALL_CLOSE = "</tool_call>"

_FIRST_SIGN = 0xDC80


class CallStyle(Enum):
    """How a model writes its calls."""

    JSON = "json"  # between <tool_call> marks, in a code fence, or bare
    KIMI = "kimi"  # between Kimi K2's marks


@dataclass(frozen=True, kw_only=True)
class Marks:
    """How each mark appears in the text: spelled out, or as a sign of its own."""

    think_open: str = "<think>"
    think_close: str = "</think>"
    section_begin: str = "<|tool_calls_section_begin|>"
    section_end: str = "<|tool_calls_section_end|>"
    call_begin: str = "<|tool_call_begin|>"
    argument_begin: str = "<|tool_call_argument_begin|>"
    call_end: str = "<|tool_call_end|>"

    @cached_property
    def spellings(self) -> dict[str, str]:
        """The signs among them, and what each spells."""
        spelled = asdict(SPELLED)
        return {sign: spelled[name] for name, sign in asdict(self).items() if sign != spelled[name]}


SPELLED = Marks()


def of(added: Mapping[str, int]) -> tuple[Marks, dict[int, str]]:
    """The marks of a vocabulary, and the sign that each of their tokens is shown as."""
    signs: dict[str, str] = {}
    by_id: dict[int, str] = {}
    for place, field in enumerate(fields(Marks)):
        token_id = added.get(getattr(SPELLED, field.name))
        if token_id is not None:
            signs[field.name] = by_id[token_id] = chr(_FIRST_SIGN + place)
    return Marks(**signs), by_id
