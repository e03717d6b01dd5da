"""What a check found of one sentence. The words here are for the model; people read `fault` in their own
language."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """SUPPORTED    a source says it, or it was worked out
    UNSUPPORTED  no source says it
    CONTRADICTED a source, or arithmetic, says otherwise
    UNCHECKED    nobody could tell
    UNCITED      a statement that names no source"""

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"
    CONTRADICTED = "contradicted"
    UNCHECKED = "unchecked"
    UNCITED = "uncited"

    @property
    def is_bad(self) -> bool:
        return self in (Verdict.UNSUPPORTED, Verdict.CONTRADICTED)


class Fault(StrEnum):
    """Why a sentence is not plainly supported. `detail` of the finding fills the gap in its words."""

    NO_PASSAGE = "no_passage"
    ALTERED = "altered"
    ARITHMETIC = "arithmetic"
    LINK = "link"
    QUOTE = "quote"
    QUOTE_ELSEWHERE = "quote_elsewhere"
    TRANSLATED = "translated"
    NUMBER = "number"
    NUMBER_ELSEWHERE = "number_elsewhere"
    NUMBER_UNKNOWN = "number_unknown"
    NOT_CALCULATED = "not_calculated"
    UNIT = "unit"
    DATE = "date"
    JUDGED = "judged"
    JUDGE_SILENT = "judge_silent"
    JUDGE_UNPROVED = "judge_unproved"
    JUDGE_STEERED = "judge_steered"
    NOT_JUDGED = "not_judged"
    NO_CITATION = "no_citation"


_WORDS = {
    Fault.NO_PASSAGE: "{} is no passage of this turn: cite one that is, or leave the statement out.",
    Fault.ALTERED: "{} is not the text any more that was fetched: read the source again.",
    Fault.ARITHMETIC: "The arithmetic is wrong: {}.",
    Fault.LINK: "The address {} was not seen in any result: link only to what you read.",
    Fault.QUOTE: "The words {} are not in the cited passage: quote word for word, or use your own words.",
    Fault.QUOTE_ELSEWHERE: "The words {} are in another passage than the cited one.",
    Fault.TRANSLATED: "The quote {} is a translation, which cannot be compared word for word.",
    Fault.NUMBER: "{} is in none of its sources, nor was it calculated.",
    Fault.NUMBER_ELSEWHERE: "{} is in another passage than the cited one.",
    Fault.NUMBER_UNKNOWN: "{} is in no result of this turn.",
    Fault.NOT_CALCULATED: "{} is not what was calculated in this turn.",
    Fault.UNIT: "The source has another unit: {}.",
    Fault.DATE: "The date {} is in none of its sources.",
    Fault.JUDGED: "{}",
    Fault.JUDGE_SILENT: "The check brought no usable verdict.",
    Fault.JUDGE_UNPROVED: "The check found it supported without showing where.",
    Fault.JUDGE_STEERED: "Its source gives orders to whoever checks it.",
    Fault.NOT_JUDGED: "Its meaning was not compared with the source.",
    Fault.NO_CITATION: "It names no source.",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`passages` and `calls` are what speaks for the sentence, or what it cites. `sends_back`: bad enough for
    another try of the whole answer."""

    verdict: Verdict
    by: str = ""
    fault: Fault | None = None
    detail: str = ""
    passages: tuple[int, ...] = ()
    calls: tuple[str, ...] = ()
    sends_back: bool = False

    @property
    def reason(self) -> str:
        return _WORDS[self.fault].format(self.detail) if self.fault else ""
