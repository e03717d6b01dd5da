"""Search: pieces of sources, each a passage that an answer can cite."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agents import plain_text
from agents.pages import strangers_text
from agents.search.provider import Found, Query, SearchFailed, Together
from agents.tool import Caching, Fault, NewPassage, ToolContext, ToolResult, ToolUsage, Traits, Trust
from inference.schema import ToolSpec

TTL_S = 24 * 3_600.0
DEFAULT_LIMIT = 6
MAX_LIMIT = 20
SNIPPET_CHARS = 1_500

DESCRIPTION = """\
Search documents: what is installed on this server, and the web where the operator has set up an engine. You
get pieces of text with numbers such as [7]: cite the number behind what you take from it. Write a few telling
words rather than a sentence; search again with other words when the first results do not answer. `open_page`
reads a source whole. Examples: {"query": "sqlite WAL checkpoint size"}, {"query": "json dumps sort keys",
"site": "manuals/python3.11-doc"}"""


class WebSearch:
    spec = ToolSpec(
        name="web_search",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1, "maxLength": 400},
                "site": {
                    "type": "string",
                    "description": "Only sources of this host, or whose name begins so.",
                    "maxLength": 200,
                },
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            },
            "required": ["query"],
            "additionalProperties": False,
        },
    )

    def __init__(self, provider: Together) -> None:
        self._provider = provider
        self.price_nano = provider.price_nano
        self.traits = Traits(
            trust=Trust.WEB,
            caching=Caching(ttl_s=TTL_S, vary=(provider.name, provider.version)),
            timeout_s=40.0,
        )

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        query = Query(
            text=arguments["query"].strip(),
            site=arguments.get("site", "").strip(),
            limit=int(arguments.get("limit", DEFAULT_LIMIT)),
        )
        try:
            answer = await self._provider.search(query)
        except SearchFailed as fault:
            text = f"The search failed: {fault}"
            return ToolResult(for_model=text, is_error=True, fault=Fault.FAILED)
        usage = ToolUsage(cost_nano=answer.cost_nano)
        if not answer.found:
            text = f"Nothing was found for {query.text!r}. Try fewer or other words, or leave out the site."
            return ToolResult(for_model=text, found_nothing=True, usage=usage)
        return replace(shown(answer.found), usage=usage)


def shown(found: Sequence[Found]) -> ToolResult:
    """The results in order, each a passage."""
    passages = tuple(
        NewPassage(
            source=one.source,
            title=plain_text.neutral(one.title) or one.source,
            text=plain_text.neutral(one.text)[:SNIPPET_CHARS],
            fetched_at=one.fetched_at,
        )
        for one in found
    )
    blocks = []
    for at, (passage, one) in enumerate(zip(passages, found, strict=True)):
        dated = f", dated {plain_text.neutral(one.dated)[:40]}" if one.dated else ""
        blocks.append(f"⟦{at}⟧ {passage.title}\nsource: {passage.source}{dated}\n{passage.text}")
    return ToolResult(for_model=strangers_text.marked("\n\n".join(blocks)), passages=passages)
