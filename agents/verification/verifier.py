"""Checks an answer sentence by sentence before it counts: by rule, and by a judge where the effort is worth
it. What is wrong goes back to the model at most twice; what is still wrong then stays marked."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents import citations
from agents.citations import Passage, PassageSource
from agents.steps.asking import Ask
from agents.transcript import Note, NoteKind, Step, Transcript
from agents.verification import checks, judge, sentences
from agents.verification.finding import Fault, Finding, Verdict
from agents.verification.judge import Case, Judged
from agents.verification.sentences import Kind, Sentence
from agents.verification.sources import Sources

MAX_REVISIONS = 2
MAX_NAMED = 12  # sentences the model is told of at once
MAX_CANDIDATES = 3  # passages that a sentence without citations is judged by
SHOWN_CHARS = 120


class Verifier:
    """Checks the answers of one turn. `judges`: with a judge's calls for the sentences that rules cannot
    decide."""

    def __init__(self, passages: PassageSource, *, judges: bool) -> None:
        self._passages = passages
        self._judges = judges

    async def check(self, transcript: Transcript, *, ask: Ask, may_revise: bool) -> Note | None:
        """A CHECK note, not yet saved, on the answer that is the last step's content: with `must_revise` the
        answer is a draft and the model is to write another. None when there is nothing to check. Raises
        Interrupted."""
        step = transcript.steps[-1]
        used_tools = any(True for _ in transcript.calls())
        if not (used_tools or any(citations.markers(step.content))):
            return None
        sources = Sources(transcript, await self._passages.passages())
        examined = await examine(step.content, sources, ask=ask if self._judges else None)
        said_before = await asyncio.to_thread(_said_before, transcript, sources)
        if not examined.findings and not said_before:
            return None
        revision = len(drafts(transcript.notes)) + 1
        return _note(step, examined, said_before, revision=revision, may_revise=may_revise)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """The sentences of a text, and by their places what was found of those that claim something."""

    sentences: Sequence[Sentence]
    findings: Mapping[int, Finding]
    num_judge_calls: int


async def examine(text: str, sources: Sources, *, ask: Ask | None) -> Examined:
    """The text checked by rule and, where there is somebody to ask, by a judge. Raises Interrupted."""
    split = sentences.split(text)
    # In a thread: a long turn has a megabyte of results to read, and its lease is to be kept meanwhile.
    findings = dict(enumerate(await asyncio.to_thread(checks.check, split, sources)))
    judged = Judged(findings={}, num_calls=0)
    if ask is not None and (cases := _cases(split, findings, sources)):
        judged = await judge.judge(cases, ask)
        _settle(findings, cases, judged)
    return Examined(
        sentences=split,
        findings={index: finding for index, finding in sorted(findings.items()) if finding is not None},
        num_judge_calls=judged.num_calls,
    )


def was_sent_back(transcript: Transcript) -> bool:
    """Whether the last step's answer was checked and is a draft: another step is to follow."""
    return bool(transcript.steps) and transcript.steps[-1].number in drafts(transcript.notes)


def drafts(notes: Sequence[Note]) -> frozenset[int]:
    """The steps whose content was sent back: no part of the answer."""
    made = (note for note in notes if note.kind is NoteKind.CHECK)
    return frozenset(note.step for note in made if note.data.get("must_revise"))


# ---- the judge's share


def _cases(split: Sequence[Sentence], findings: Mapping[int, Finding | None], sources: Sources) -> list[Case]:
    """What the rules leave open: sentences that cite, and statements that do not."""
    intact = {number: sources.stored[number] for number in sources.passages}
    cases = []
    for index, finding in findings.items():
        if finding is None or finding.verdict.is_bad or not intact:
            continue
        if not split[index].states_something and split[index].kind is not Kind.ROW:
            continue
        passages = [intact[number] for number in finding.passages if number in intact]
        if finding.verdict is Verdict.UNCITED:
            passages = _candidates(split, index, passages, intact)
        if passages:
            cases.append(Case(key=index, text=_in_context(split[index]), passages=tuple(passages)))
    return cases


def _candidates(
    split: Sequence[Sentence], index: int, own: Sequence[Passage], intact: Mapping[int, Passage]
) -> list[Passage]:
    """The passages that may support a sentence which cites none: those that its paragraph cites, and
    the likest."""
    beside = [sentence for sentence in split if sentence.paragraph == split[index].paragraph]
    cited = [intact[n] for sentence in beside for n in sentence.numbers if n in intact]
    wanted = judge.words(split[index].plain)
    likest = sorted(intact.values(), key=lambda passage: -len(wanted & judge.words(passage.text)))
    return list(dict.fromkeys([*cited, *own, *likest]))[:MAX_CANDIDATES]


def _in_context(sentence: Sentence) -> str:
    return f"{sentence.header}\n{sentence.text}" if sentence.header else sentence.text


def _settle(findings: dict[int, Finding | None], cases: Sequence[Case], judged: Judged) -> None:
    """Put the judge's word beside the rules'. Nothing it says clears what a rule has found wrong; a sentence
    it did not reach or could not judge keeps what the rules found, unless that was nothing."""
    for case in cases:
        ruled, own = judged.findings.get(case.key, _NOT_REACHED), findings[case.key]
        assert own is not None
        if ruled is None:
            findings[case.key] = None if own.verdict is Verdict.UNCITED else own
        elif ruled.verdict is Verdict.UNCHECKED:
            findings[case.key] = replace(own, verdict=Verdict.UNCHECKED, fault=ruled.fault, by=ruled.by)
        elif ruled.verdict is Verdict.SUPPORTED and own.verdict is Verdict.UNCITED:
            findings[case.key] = replace(ruled, fault=Fault.NO_CITATION)
        else:
            findings[case.key] = replace(ruled, calls=own.calls)


_NOT_REACHED = Finding(verdict=Verdict.UNCHECKED, fault=Fault.NOT_JUDGED)


# ---- the outcome


def _said_before(transcript: Transcript, sources: Sources) -> list[dict[str, Any]]:
    """What is wrong in the words beside the calls of earlier steps: they stand in the answer too, and can
    only be marked."""
    sent_back, undone = drafts(transcript.notes), sources.undone_steps
    rows = []
    for step in transcript.steps[:-1]:
        if step.content.strip() and step.number not in sent_back | undone:
            split = sentences.split(step.content)
            findings = zip(split, checks.check(split, sources), strict=True)
            rows += [
                _row(step, sentence, found) for sentence, found in findings if found and found.verdict.is_bad
            ]
    return rows


def _note(
    step: Step, examined: Examined, said_before: Sequence[dict[str, Any]], *, revision: int, may_revise: bool
) -> Note:
    split, findings = examined.sentences, examined.findings
    bad = {index: finding for index, finding in findings.items() if finding.sends_back}
    must_revise = bool(bad) and may_revise and revision <= MAX_REVISIONS
    verdicts = [finding.verdict for finding in findings.values()]
    return Note(
        step=step.number,
        kind=NoteKind.CHECK,
        text=_told(split, bad) if must_revise else "",
        data={
            "must_revise": must_revise,
            "revision": revision,
            "sentences": [
                *said_before,
                *(_row(step, split[index], finding) for index, finding in findings.items()),
            ],
            "num_sentences": len(split),
            "num_checked": len(findings) + len(said_before),
            "num_supported": verdicts.count(Verdict.SUPPORTED),
            "num_unsupported": sum(verdict.is_bad for verdict in verdicts) + len(said_before),
            "num_unchecked": verdicts.count(Verdict.UNCHECKED),
            "num_uncited": verdicts.count(Verdict.UNCITED),
            "judge_calls": examined.num_judge_calls,
        },
    )


def _row(step: Step, sentence: Sentence, finding: Finding) -> dict[str, Any]:
    """`start` and `end` are places in the step's content."""
    return {
        "step": step.number,
        "start": sentence.start,
        "end": sentence.end,
        "verdict": finding.verdict.value,
        "by": finding.by,
        "fault": finding.fault.value if finding.fault else "",
        "detail": finding.detail,
        "reason": finding.reason,
        "passages": list(finding.passages),
        "calls": list(finding.calls),
    }


def _told(split: Sequence[Sentence], bad: Mapping[int, Finding]) -> str:
    """What the model must mend."""
    named = [f"{_short(split[index].text)}\n   {finding.reason}" for index, finding in sorted(bad.items())]
    lines = [f"{number}. {line}" for number, line in enumerate(named[:MAX_NAMED], start=1)]
    if len(named) > MAX_NAMED:
        lines.append(f"and {len(named) - MAX_NAMED} more of this kind")
    listed = "\n".join(lines)
    return (
        "Your answer was checked against what you read and calculated; it is not shown yet. "
        f"Not borne out:\n{listed}\n"
        "Mend or leave out each of them; use tools again where you need to. Then write the whole answer "
        "anew, with its citations, and do not mention this check."
    )


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return f"“{plain if len(plain) <= SHOWN_CHARS else plain[: SHOWN_CHARS - 1] + '…'}”"
