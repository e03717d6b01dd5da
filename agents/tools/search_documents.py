"""Search in the documents that people have attached, by words."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from agents.documents.shelf import Found, Shelf
from agents.pages import strangers_text
from agents.tool import Fault, NewPassage, ToolContext, ToolResult, Traits, Trust
from inference.schema import ToolSpec

TRAITS = Traits(trust=Trust.DOCUMENT)
NUM_SHOWN = 8

DESCRIPTION = """\
Search the documents attached to this conversation. You get their best pieces with page or row and a number
such as [7] to cite. Write a few telling words; search again with other words, or read_document, where the
answer is not among them. Example: {"query": "termination notice period"}"""


class SearchDocuments:
    spec = ToolSpec(
        name="search_documents",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1, "maxLength": 400},
                "document": {"type": "string", "description": "Only in this one.", "maxLength": 200},
            },
            "required": ["query"],
            "additionalProperties": False,
        },
    )
    traits = TRAITS

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        name = arguments.get("document", "")
        document = self._shelf.named(name) if name else None
        if name and document is None:
            return unknown(self._shelf, name)
        query = arguments["query"]
        found = await asyncio.to_thread(self._shelf.search, query, document=document, limit=NUM_SHOWN)
        if not found:
            text = f"The documents have none of the words {query!r}. Try others, or read_document."
            return ToolResult(for_model=text, found_nothing=True)
        return shown(found)


def shown(found: Sequence[Found], *, more: str = "") -> ToolResult:
    """Each part a passage."""
    blocks = []
    for at, one in enumerate(found):
        heading = f" ({one.heading})" if one.heading and one.heading != one.place else ""
        blocks.append(f"⟦{at}⟧ {one.title}{heading}\n{one.text}")
    passages = tuple(
        NewPassage(source=one.document.source, title=one.title, text=one.text, fetched_at=one.document.at)
        for one in found
    )
    return ToolResult(for_model=strangers_text.marked("\n\n".join(blocks)) + more, passages=passages)


def unknown(shelf: Shelf, name: str) -> ToolResult:
    there = ", ".join(f'"{one.name}"' for one in shelf.documents)
    text = f"No document is called {name!r}. There are: {there}."
    return ToolResult(for_model=text, is_error=True, fault=Fault.BAD_ARGUMENTS)
