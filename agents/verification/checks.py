"""The checks that need no model: citations, quotes, numbers, dates, units, arithmetic and links of a sentence
against what the turn has read."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import partial

from agents import citations
from agents.verification import quantities, sums
from agents.verification.finding import Fault, Finding, Verdict
from agents.verification.quantities import Quantity
from agents.verification.sentences import Kind, Sentence
from agents.verification.sources import Source, Sources
from agents.verification.sums import Sum

SHORTEST_QUOTE = 3  # words; fewer are an expression, not a quotation
SHORTEST_UNCITED_QUOTE = 5
MAX_SHOWN_CHARS = 160
NEEDS_NO_SOURCE = frozenset({12, 24, 52, 60, 100, 365, 1000})  # as a factor
_ATTRIBUTION = re.compile(r"\n\s*(?:[—–-]{1,3}|―)\s*\S[^\n]*$")
_ROW_NUMBER = re.compile(r"\|?\s*\d{1,3}\.?\s*\|?\s*$")
_CHINESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


def check(sentences: Sequence[Sentence], sources: Sources) -> list[Finding | None]:
    """What is found of each sentence; None of those that claim nothing."""
    result = _left_out(sentences, sources)
    findings = []
    for index, sentence in enumerate(sentences):
        cited = _cited(sentences, index, sources)
        finding = _Examination(sentence, cited, sources, left_out=result).finding()
        findings.append(replace(finding, detail=_short(finding.detail)) if finding else None)
    return findings


@dataclass(frozen=True)
class _Cited:
    """What a sentence cites: the sources behind it, and the numbers that lead nowhere."""

    sources: tuple[Source, ...]
    missing: tuple[int, ...]
    is_any: bool

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(source.passage for source in self.sources if source.passage is not None)


def _cited(sentences: Sequence[Sentence], index: int, sources: Sources) -> _Cited:
    sentence = sentences[index]
    markers = list(sentence.markers)
    if sentence.kind is Kind.QUOTE and not markers:
        around = [sentences[at] for at in (index + 1, index - 1) if 0 <= at < len(sentences)]
        markers = next((list(near.markers) for near in around if near.markers), [])
    found: dict[int, Source] = {}
    missing: list[int] = []
    is_any = False
    for marker in markers:
        resolved = citations.resolve(marker, sources.stored)
        if not resolved.passages and (marker.may_be_values or _was_there_before(marker, sentence, sources)):
            continue
        is_any = True
        missing += resolved.missing
        found |= {passage.number: sources.passages[passage.number] for passage in resolved.passages}
    return _Cited(tuple(found.values()), tuple(missing), is_any)


def _was_there_before(marker: citations.Marker, sentence: Sentence, sources: Sources) -> bool:
    """Whether a turn without passages only repeats brackets of the person's or of an earlier answer."""
    if sources.stored:
        return False
    written = sentence.text[marker.start - sentence.start : marker.end - sentence.start]
    return bool(written) and written in sources.opening


def _left_out(sentences: Sequence[Sentence], sources: Sources) -> Source | None:
    """The last result that was calculated, where the answer has no number that is one of the results: one
    that only resembles it is a slip then."""
    if not sources.worked_out or sources.stored:
        return None
    told = [q for sentence in sentences for q in quantities.find(sentence.plain, in_words=True).quantities]
    is_told = any(source.says_number(q) for q in told for source in sources.worked_out)
    return None if is_told else sources.worked_out[-1]


class _Examination:
    """One sentence under all checks: the first that finds it wrong decides, else the first in doubt."""

    def __init__(
        self, sentence: Sentence, cited: _Cited, sources: Sources, *, left_out: Source | None
    ) -> None:
        self._sentence = sentence
        self._cited = cited
        self._sources = sources
        self._left_out = left_out
        self._calls: list[str] = []
        self._passages: list[int] = list(cited.numbers)
        self._proofs: list[str] = []

    def finding(self) -> Finding | None:
        checks = (self._markers, self._sums, self._links, self._quotes, self._numbers)
        found = [finding for check in checks for finding in check()]
        bad = next((finding for finding in found if finding.verdict.is_bad), None)
        return bad or next(iter(found), None) or self._good()

    def _good(self) -> Finding | None:
        sentence, is_research = self._sentence, bool(self._sources.stored)
        if self._proofs and (self._cited.is_any or self._calls or "arithmetic" in self._proofs):
            return self._found(Verdict.SUPPORTED, by=self._proofs[0])
        if self._cited.is_any and sentence.kind is not Kind.ENTRY:
            return self._found(Verdict.UNCHECKED, fault=Fault.NOT_JUDGED)
        if is_research and (sentence.states_something or self._proofs) and sentence.kind is not Kind.HEADING:
            return self._found(Verdict.UNCITED, fault=Fault.NO_CITATION)
        return None

    def _found(
        self, verdict: Verdict, *, by: str = "", fault: Fault | None = None, detail: str = ""
    ) -> Finding:
        return Finding(
            verdict=verdict,
            by=by,
            fault=fault,
            detail=detail,
            passages=tuple(dict.fromkeys(self._passages)),
            calls=tuple(dict.fromkeys(self._calls)),
        )

    def _bad(self, fault: Fault, detail: str, *, by: str, verdict: Verdict = Verdict.UNSUPPORTED) -> Finding:
        return replace(self._found(verdict, by=by, fault=fault, detail=detail), sends_back=True)

    # ---- each check yields what it has against the sentence

    def _markers(self) -> Iterator[Finding]:
        for number in self._cited.missing:
            fault = Fault.ALTERED if number in self._sources.stored else Fault.NO_PASSAGE
            yield self._bad(fault, f"[{number}]", by="markers")

    def _sums(self) -> Iterator[Finding]:
        for found in sums.find(self._sentence.plain):
            if not found.holds:
                detail = f"{found.stated} ≠ {_plainly(found.result)}"
                yield self._bad(Fault.ARITHMETIC, detail, by="arithmetic", verdict=Verdict.CONTRADICTED)
            self._proofs.append("arithmetic")

    def _links(self) -> Iterator[Finding]:
        for link in self._sentence.links:
            if self._sources.that_name(link.address):
                continue
            if self._sources.stored or self._cited.is_any:
                yield self._bad(Fault.LINK, link.address, by="links")
            elif self._sources.used_tools:
                yield self._found(Verdict.UNCHECKED, by="links", fault=Fault.LINK, detail=link.address)

    def _quotes(self) -> Iterator[Finding]:
        shortest = SHORTEST_QUOTE if self._cited.is_any else SHORTEST_UNCITED_QUOTE
        if not self._sources.stored:
            return
        for quote in self._quoted():
            if citations.num_words(quote) >= shortest:
                yield from self._quote(quote)

    def _quoted(self) -> Iterator[str]:
        if self._sentence.kind is Kind.QUOTE:
            if self._cited.is_any:
                yield _ATTRIBUTION.sub("", self._sentence.plain)
            return
        for quote in citations.quotes(self._sentence.plain):
            yield quote.text

    def _quote(self, quote: str) -> Iterator[Finding]:
        if self._cited.is_any and any(source.says_words(quote) for source in self._cited.sources):
            self._proofs.append("quote")
            return
        elsewhere = [source for source in self._sources.anywhere() if source.says_words(quote)]
        passage = next((source.passage for source in elsewhere if source.passage is not None), None)
        if passage is not None and self._cited.is_any:
            yield self._bad(Fault.QUOTE_ELSEWHERE, f"“{quote.strip()}” ([{passage}])", by="quote")
        elif not elsewhere and self._is_translated(quote):
            yield self._found(
                Verdict.UNCHECKED, by="quote", fault=Fault.TRANSLATED, detail=f"“{quote.strip()}”"
            )
        elif not elsewhere:
            yield self._bad(Fault.QUOTE, f"“{quote.strip()}”", by="quote")
        else:
            self._credit(elsewhere[0], "quote")

    def _is_translated(self, quote: str) -> bool:
        sources = self._cited.sources or tuple(self._sources.passages.values())
        return bool(sources) and all(source.is_chinese != bool(_CHINESE.search(quote)) for source in sources)

    def _numbers(self) -> Iterator[Finding]:
        if self._sentence.kind is Kind.ENTRY:
            return
        found = quantities.find(self._sentence.plain)
        good: list[Quantity] = []
        doubtful: list[Quantity] = []
        for quantity in found.quantities:
            if not self._is_claim(quantity):
                continue
            source = _first(self._near(), partial(Source.says_number, claim=quantity))
            (good if source else doubtful).append(quantity)
            if source:
                self._credit(source, "numbers")
        worked_out = [found for found in sums.find(self._sentence.plain) if found.holds]
        for quantity in doubtful:
            if not (_is_step(quantity, worked_out) or _follows(quantity, good)):
                yield from self._number(quantity)
        for date in found.dates:
            source = _first(self._near(), partial(Source.says_date, claim=date))
            yield from self._unless(source, Fault.DATE, date.text)
        for literal in found.literals:
            source = _first(self._near(), partial(Source.says_literal, claim=literal))
            yield from self._unless(source, Fault.NUMBER, literal.text)

    def _is_claim(self, quantity: Quantity) -> bool:
        """Not so the number of a table's row, and what is too small to mean much without a citation."""
        kind = self._sentence.kind
        if kind is Kind.ROW and _ROW_NUMBER.match(self._sentence.plain, 0, quantity.end + 2):
            return False
        return self._cited.is_any or not (quantity.is_bare or kind is Kind.HEADING)

    def _near(self) -> Iterable[Source]:
        """What may vouch for a number: of a sentence with citations, the passages it cites and what brought
        no passages."""
        if not self._cited.is_any:
            return self._sources.anywhere()
        return (*self._cited.sources, *self._sources.results, self._sources.said)

    def _number(self, quantity: Quantity) -> Iterator[Finding]:
        near = self._cited.sources or self._sources.anywhere()
        other = next((found for source in near if (found := source.says_otherwise(quantity))), None)
        if other:
            yield from self._against(Fault.UNIT, f"{quantity.text} ≠ {other.text}")
        elsewhere = _first(self._sources.passages.values(), lambda source: source.says_number(quantity))
        if elsewhere and self._cited.is_any and not quantity.is_bare:
            detail = f"{quantity.text} ([{elsewhere.passage}])"
            yield from self._against(Fault.NUMBER_ELSEWHERE, detail)
        if self._left_out and self._left_out.resembles(quantity):
            yield self._bad(Fault.NOT_CALCULATED, quantity.text, by="numbers")
        yield from self._against(Fault.NUMBER, quantity.text)

    def _unless(self, source: Source | None, fault: Fault, text: str) -> Iterator[Finding]:
        if source:
            self._credit(source, "numbers")
        elif self._sentence.kind is not Kind.HEADING or self._cited.is_any:
            yield from self._against(fault, text)

    def _against(self, fault: Fault, detail: str) -> Iterator[Finding]:
        """Sent back where the turn read sources; one that read none may know numbers of its own."""
        if self._cited.is_any or self._sources.stored:
            yield self._bad(fault, detail, by="numbers")
        elif self._sources.used_tools and self._sources.results:
            yield self._found(Verdict.UNCHECKED, by="numbers", fault=Fault.NUMBER_UNKNOWN, detail=detail)

    def _credit(self, source: Source, proof: str) -> None:
        self._proofs.append(proof)
        if source.call_id:
            self._calls.append(source.call_id)
        if source.passage is not None:
            self._passages.append(source.passage)


def _first(sources: Iterable[Source], holds: Callable[[Source], bool]) -> Source | None:
    return next((source for source in sources if holds(source)), None)


def _is_step(claim: Quantity, worked_out: Sequence[Sum]) -> bool:
    """Whether the number is the outcome of arithmetic that its sentence writes out, or a factor in it that
    needs no source, such as the months of a year."""
    if any(quantities.is_near(claim, found.told) for found in worked_out):
        return True
    is_factor = claim.is_bare or claim.value in NEEDS_NO_SOURCE
    return is_factor and any(re.search(rf"\b{re.escape(claim.text)}\b", found.stated) for found in worked_out)


def _follows(claim: Quantity, known: Sequence[Quantity]) -> bool:
    """Whether the number is the sum, difference, product, ratio or change of two numbers beside it that are
    known."""
    return any(
        quantities.is_near(claim, value)
        for first, second in itertools.permutations(known, 2)
        for value in _outcomes(first.value, second.value)
    )


def _outcomes(first: Fraction, second: Fraction) -> Iterator[Fraction]:
    yield first + second
    yield first - second
    yield first * second
    if second:
        yield first / second
        yield first / second * 100
        yield (first - second) / second * 100


def _plainly(value: Fraction) -> str:
    return (
        str(value.numerator)
        if value.denominator == 1
        else f"{Decimal(value.numerator) / Decimal(value.denominator):.6g}"
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"
