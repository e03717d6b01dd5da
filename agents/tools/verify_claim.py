"""Lets the model check a claim against what it has read, before it answers."""

from collections.abc import Callable, Mapping
from typing import Any

from agents import verification
from agents.citations import PassageSource
from agents.steps.asking import Ask
from agents.tool import ToolContext, ToolResult, Traits
from agents.transcript import Transcript
from agents.verification import Examined, Verdict
from agents.verification.finding import Finding
from agents.verification.sources import Sources
from inference.schema import ToolSpec

DESCRIPTION = """\
Check a claim against the passages you have read, before you write it into an answer: numbers, dates, units
and quotes are compared word for word, the rest is judged. Write one to three complete sentences and name
the passages that should bear them out; without any, all are searched. In an answer, put the numbers of its
passages behind each sentence that rests on them, as [7] or [7, 9], and quote word for word only.
Example: {"claim": "The bridge is 1,280 m long.", "passages": [7]}"""


class VerifyClaim:
    """`ask` gives somebody to judge by, or None: then only the rules check. `transcript` is the turn's so
    far."""

    spec = ToolSpec(
        name="verify_claim",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "claim": {"type": "string", "minLength": 1, "maxLength": 2_000},
                "passages": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1, "maximum": 9_999},
                    "maxItems": 10,
                },
            },
            "required": ["claim"],
            "additionalProperties": False,
        },
    )
    traits = Traits()

    def __init__(
        self,
        passages: PassageSource,
        *,
        ask: Callable[[], Ask | None] = lambda: None,
        transcript: Callable[[], Transcript] = lambda: Transcript(opening=()),
    ) -> None:
        self._passages = passages
        self._ask = ask
        self._transcript = transcript

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        claim = arguments["claim"]
        text = _with_citations(claim, arguments.get("passages", []))
        sources = Sources(self._transcript(), await self._passages.passages())
        examined = await verification.examine(text, sources, ask=self._ask())
        return ToolResult(for_model=_worded(examined))


def _with_citations(claim: str, passages: list[int]) -> str:
    """Each sentence of the claim with the citations it is to be checked by."""
    if not passages:
        return claim
    marker = f" [{', '.join(map(str, passages))}]"
    return " ".join(f"{sentence.text}{marker}" for sentence in verification.split(claim))


def _worded(examined: Examined) -> str:
    if not examined.findings:
        return "There is nothing in it that could be checked."
    lines = []
    for index, finding in examined.findings.items():
        shown = " ".join(examined.sentences[index].text.split())
        lines.append(f"{shown}\n{finding.verdict}{_because(finding)}")
    return "\n".join(lines)


def _because(finding: Finding) -> str:
    named = " ".join(f"[{number}]" for number in finding.passages)
    if finding.verdict is Verdict.SUPPORTED:
        words = f": “{finding.detail}”" if finding.by == "judge" else f" ({finding.by})" if finding.by else ""
        return f" by {named}{words}" if named else words
    return f": {finding.reason}" if finding.reason else ""
