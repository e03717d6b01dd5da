"""Read on in a document that people have attached."""

import asyncio
from collections.abc import Mapping
from typing import Any

from agents.documents.shelf import Shelf
from agents.tool import Fault, ToolContext, ToolResult
from agents.tools.search_documents import TRAITS, shown, unknown
from inference.schema import ToolSpec

DEFAULT_NUM, MAX_NUM = 8, 20

DESCRIPTION = """\
Read an attached document piece by piece, from a page or from a part on. Each piece has a number such as [7]
to cite. Examples: {"document": "report.pdf", "page": 12}, {"document": "notes.md", "part": 9, "parts": 4}"""


class ReadDocument:
    spec = ToolSpec(
        name="read_document",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "document": {"type": "string", "minLength": 1, "maxLength": 200},
                "page": {"type": "integer", "minimum": 1},
                "part": {"type": "integer", "minimum": 1},
                "parts": {"type": "integer", "minimum": 1, "maximum": MAX_NUM},
            },
            "required": ["document"],
            "additionalProperties": False,
        },
    )
    traits = TRAITS

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        return await asyncio.to_thread(self._read, arguments)

    def _read(self, arguments: Mapping[str, Any]) -> ToolResult:
        document = self._shelf.named(arguments["document"])
        if document is None:
            return unknown(self._shelf, arguments["document"])
        first = int(arguments.get("part", 1))
        if (page := arguments.get("page")) is not None:
            found = self._shelf.part_of_page(document, int(page))
            if found is None:
                return _refused(f"{document.name} has no page {page}; it has {document.num_parts} parts.")
            first = found
        parts = self._shelf.read(document, first=first, num=int(arguments.get("parts", DEFAULT_NUM)))
        if not parts:
            return _refused(f"{document.name} ends with part {document.num_parts}.")
        last = parts[-1].number
        more = f"\nParts {first}-{last} of {document.num_parts}."
        if last < document.num_parts:
            more += f' {{"part": {last + 1}}} goes on.'
        return shown(parts, more=more)


def _refused(text: str) -> ToolResult:
    return ToolResult(for_model=text, is_error=True, fault=Fault.BAD_ARGUMENTS)
