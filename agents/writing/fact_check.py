"""A section held against what its turns have read, by the check that answers go through."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field

from agents import verification
from agents.citations import Passage
from agents.steps.asking import Ask
from agents.transcript import Transcript
from agents.verification import Verdict
from agents.verification.finding import Finding
from agents.verification.sources import Sources
from agents.writing import citing
from agents.writing.citing import EarlierTurns, Numbering
from agents.writing.manuscript import Check, Doubt, Section

MAX_NAMED = 30


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the turn at hand has read and done, and where that of others is had."""

    transcript: Transcript
    passages: Sequence[Passage]
    earlier: EarlierTurns
    _own: dict[tuple[int, ...], Sources] = field(default_factory=dict)
    _others: dict[str, Sources] = field(default_factory=dict)

    async def of(self, section: Section, brought: Sequence[Passage], *, turn: str) -> Sources:
        """With what the earlier turns that wrote the section had worked out."""
        # What is found in a source is found once for all sections: a long turn has a megabyte of them.
        numbers = tuple(passage.number for passage in brought)
        if numbers not in self._own:
            self._own[numbers] = Sources(self.transcript, [*self.passages, *brought])
        sources = copy(self._own[numbers])
        for other in section.turns:
            if other == turn:
                continue
            if other not in self._others and (found := await self.earlier(other)) is not None:
                self._others[other] = Sources(found.transcript, found.passages)
            if other in self._others:
                sources.results = [*sources.results, *self._others[other].results]
                sources.worked_out = [*sources.worked_out, *self._others[other].worked_out]
        return sources


@dataclass(frozen=True, kw_only=True)
class Checked:
    check: Check
    open_sentences: tuple[Doubt, ...]

    def report(self, name_of: Callable[[str], str | None]) -> str:
        """For the model, citations by the names it knows them by."""
        check = self.check
        if not check.num_sentences:
            return "There is nothing in it that could be checked."
        bad = [_line(doubt, name_of) for doubt in check.doubts[:MAX_NAMED]]
        unsure = [_line(doubt, name_of) for doubt in self.open_sentences[: MAX_NAMED // 2]]
        lines = [f"Sentences checked: {check.num_sentences}; not borne out: {len(check.doubts)}."]
        lines += ["Mend or remove (export marks them):", *bad] if bad else []
        lines += ["Not decided:", *unsure] if unsure else []
        return "\n".join(lines)


async def check(
    section: Section, numbering: Numbering, *, turn: str, sources: Reading, ask: Ask | None
) -> Checked:
    """Raises Interrupted."""
    text = citing.numbered(section.text, numbering.number)
    read = await sources.of(section, numbering.brought, turn=turn)
    examined = await verification.examine(text.text, read, ask=ask)

    def said(index: int, finding: Finding) -> Doubt:
        sentence = examined.sentences[index]
        place = slice(text.kept_at(sentence.start), text.kept_at(sentence.end))
        return Doubt(sentence=section.text[place], reason=finding.reason)

    bad = {index: finding for index, finding in examined.findings.items() if finding.verdict.is_bad}
    unsure = {
        index: finding
        for index, finding in examined.findings.items()
        if finding.verdict in (Verdict.UNCHECKED, Verdict.UNCITED)
    }
    found = Check(
        digest=section.digest,
        doubts=tuple(said(index, finding) for index, finding in bad.items()),
        num_sentences=len(examined.findings),
        num_open=len(unsure),
    )
    return Checked(check=found, open_sentences=tuple(said(index, one) for index, one in unsure.items()))


def _line(doubt: Doubt, name_of: Callable[[str], str | None]) -> str:
    shown = " ".join(citing.numbered(doubt.sentence, name_of).text.split())
    return f"- “{shown}” {doubt.reason}"
