"""What the model keeps for the rest of its turn, and how it has back what has left its context."""

from collections.abc import Mapping, Sequence
from typing import Any

from agents.notebook import HOW_TO_NAME, Fact, Found, Notebook, fact_line, unknown_names
from agents.tool import Effect, Fault, ToolContext, ToolResult, Traits
from inference.schema import ToolSpec

PAGE_CHARS = 8_000
MAX_FACTS = 20  # that match the words, in one answer

REMEMBER = """\
Keep a fact for the rest of this task: it stays in your context, word for word, when older steps leave it.
Write it complete in itself, with exact values, and name the ids of its evidence: calls, passages ([7]),
artifacts or other facts. Example: {"fact": "The Amazon is 6,400 km long (2007 survey)", "evidence":
["functions.search:3"]}"""

RECALL = """\
Have back what has left your context: the full result of a call by its id, an artifact by its name, a passage
by its number, or your facts by words in them. Long texts come in pages. Examples: {"what":
"functions.search:3"}, {"what": "report.csv", "page": 2}, {"what": "[7]"}, {"what": "Amazon length"}"""


class Remember:
    spec = ToolSpec(
        name="remember",
        description=" ".join(REMEMBER.split()),
        parameters={
            "type": "object",
            "properties": {
                "fact": {"type": "string", "minLength": 1, "maxLength": 1_000},
                "evidence": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": 200},
                    "minItems": 1,
                    "maxItems": 20,
                },
            },
            "required": ["fact", "evidence"],
            "additionalProperties": False,
        },
    )
    traits = Traits(effect=Effect.LOCAL, is_idempotent=True)

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        if unknown := await unknown_names(self._notebook, arguments["evidence"]):
            text = f"Not kept: there is no {', '.join(unknown)}. {HOW_TO_NAME}"
            return ToolResult(for_model=text, is_error=True, fault=Fault.BAD_ARGUMENTS)
        fact = await self._notebook.remember(
            arguments["fact"], evidence=arguments["evidence"], key=context.key
        )
        return ToolResult(for_model=f"Kept as {fact.id}.", for_user=fact_line(fact))


class Recall:
    spec = ToolSpec(
        name="recall",
        description=" ".join(RECALL.split()),
        parameters={
            "type": "object",
            "properties": {
                "what": {"type": "string", "minLength": 1, "maxLength": 300},
                "page": {"type": "integer", "minimum": 1, "maximum": 100_000},
            },
            "required": ["what"],
            "additionalProperties": False,
        },
    )
    traits = Traits(max_result_chars=2 * PAGE_CHARS)

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        what = arguments["what"].strip()
        page = int(arguments.get("page", 1))
        if (found := await self._notebook.find(what)) is not None:
            return _page(found, page)
        facts = await self._notebook.facts()
        matching = _with_words(facts, what)
        if not matching:
            text = f"Nothing is called {what!r}, and no fact has these words. {_known(facts)}"
            return ToolResult(for_model=text, found_nothing=True)
        return ToolResult(for_model="\n".join(fact_line(fact) for fact in matching[:MAX_FACTS]))


def _page(found: Found, number: int) -> ToolResult:
    num_pages = max(-(-len(found.text) // PAGE_CHARS), 1)
    if number > num_pages:
        text = f"{found.name} has {num_pages} pages."
        return ToolResult(for_model=text, is_error=True, fault=Fault.BAD_ARGUMENTS)
    text = found.text[(number - 1) * PAGE_CHARS : number * PAGE_CHARS]
    place = f", page {number} of {num_pages}" if num_pages > 1 else ""
    return ToolResult(for_model=f"{found.name} ({found.title}{place}):\n{text}", trust=found.trust)


def _with_words(facts: Sequence[Fact], what: str) -> list[Fact]:
    """The facts that hold any of the words, those with the most of them first."""
    words = {word for word in what.casefold().split() if len(word) > 1} or {what.casefold()}
    counted = [(sum(word in fact.text.casefold() for word in words), fact) for fact in facts]
    return [fact for count, fact in sorted(counted, key=lambda pair: -pair[0]) if count]


def _known(facts: Sequence[Fact]) -> str:
    if not facts:
        return "No facts have been kept yet."
    return f"There are {len(facts)} facts, {facts[0].id} to {facts[-1].id}."
