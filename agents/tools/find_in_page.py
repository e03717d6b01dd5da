"""Words found in one source, with what stands around them."""

import re
from collections.abc import Mapping
from typing import Any

from agents.pages import strangers_text
from agents.pages.faults import PageFault
from agents.pages.library import Library
from agents.tool import ToolContext, ToolResult, ToolUsage
from agents.tools.open_page import failed, head, passage, pieces_of, reader_of, traits_of
from inference.schema import ToolSpec

MAX_SHOWN = 8

DESCRIPTION = """\
Find words in a source without reading all of it: the pieces that hold them, best first, each with a number
such as [7] to cite. The words stand in any order, or exactly as written between quotation marks. Examples:
{"source": "manuals/git-doc/git-rebase.html", "words": "autosquash"}, {"source":
"https://example.org/report.pdf", "words": "\\"net income\\" 2024"}"""

_QUOTED = re.compile(r'"([^"]{1,200})"')
_WORD = re.compile(r"[\u3400-\u9fff\u3040-\u30ff]|[^\W_]+")


class FindInPage:
    spec = ToolSpec(
        name="find_in_page",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "source": {"type": "string", "minLength": 1, "maxLength": 2_000},
                "words": {"type": "string", "minLength": 1, "maxLength": 300},
            },
            "required": ["source", "words"],
            "additionalProperties": False,
        },
    )

    def __init__(self, library: Library) -> None:
        self._library = library
        self.traits = traits_of(library)

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        try:
            opened = await self._library.open(arguments["source"], **reader_of(context))
        except PageFault as fault:
            return failed(fault)
        usage = ToolUsage(fetched_bytes=opened.num_bytes)
        found = _best(list(pieces_of(opened)), arguments["words"])
        if not found:
            text = f"{opened.source} does not say {arguments['words']!r}. Try other words, or open it."
            return ToolResult(for_model=text, found_nothing=True, usage=usage)
        shown = found[:MAX_SHOWN]
        lines = [
            f"⟦{at}⟧ {f'({heading}) ' if heading else ''}{text}" for at, (heading, text) in enumerate(shown)
        ]
        more = (
            f"\n{len(found) - len(shown)} further pieces hold them, too." if len(found) > len(shown) else ""
        )
        return ToolResult(
            for_model=strangers_text.marked("\n\n".join([head(opened), *lines])) + more,
            passages=tuple(passage(opened, heading, text) for heading, text in shown),
            usage=usage,
        )


def _best(pieces: list[tuple[str, str]], words: str) -> list[tuple[str, str]]:
    """The pieces that hold every quotation and most of the other words, in the order of the source where they
    hold as many."""
    quoted = [" ".join(quote.casefold().split()) for quote in _QUOTED.findall(words)]
    single = {word.casefold() for word in _WORD.findall(_QUOTED.sub(" ", words))}
    counted = []
    for heading, text in pieces:
        face = " ".join(f"{heading} {text}".casefold().split())
        count = sum(word in face for word in single)
        if all(quote in face for quote in quoted) and (count or not single):
            counted.append((count, (heading, text)))
    most = max((count for count, _ in counted), default=0)
    return [piece for count, piece in counted if count == most]
