"""Reading a source whole, part by part."""

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from agents import plain_text
from agents.corpus.documents import passages_of
from agents.pages import strangers_text
from agents.pages.faults import Kind, PageFault
from agents.pages.library import Library, Opened
from agents.tool import (
    Caching,
    Fault,
    NewPassage,
    Scope,
    ToolContext,
    ToolResult,
    ToolUsage,
    Traits,
    Trust,
)
from inference.schema import ToolSpec

TTL_S = 3_600.0
PART_CHARS = 12_000
PASSAGE_CHARS = 1_500
LINKS_SHOWN = 30

DESCRIPTION = """\
Read a source: a document by the name that web_search shows ("manuals/sqlite3-doc/wal.html"), or a web page
or PDF by its address. Long ones come in parts. Every piece of text has a number such as [7] to cite. When it
says "blocked", the site does not want to be read by programs: use another source. Examples: {"source":
"https://example.org/report.pdf"}, {"source": "factbook/france", "part": 2}"""


class OpenPage:
    spec = ToolSpec(
        name="open_page",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "source": {"type": "string", "minLength": 1, "maxLength": 2_000},
                "part": {"type": "integer", "minimum": 1, "maximum": 10_000},
            },
            "required": ["source"],
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
        return _shown(opened, int(arguments.get("part", 1)))


class _Reading(TypedDict):
    tenant: str
    turn: str
    is_fresh: bool


def reader_of(context: ToolContext) -> _Reading:
    """Who reads: the agents of a turn read what it reads."""
    turn = context.top_turn_id or context.turn_id
    return {"tenant": context.tenant, "turn": turn, "is_fresh": context.is_fresh}


def traits_of(library: Library) -> Traits:
    # Between turns the library keeps what the site allows.
    caching = Caching(ttl_s=TTL_S, scope=Scope.TURN, vary=(library.version,))
    return Traits(trust=Trust.WEB, caching=caching, timeout_s=75.0)


def failed(fault: PageFault) -> ToolResult:
    """What the model is told: the kind first, which it can plan around."""
    kind = Fault.REFUSED if fault.kind is Kind.REFUSED else Fault.FAILED
    is_nothing = fault.kind is Kind.NOT_FOUND
    text = plain_text.neutral(f"{fault.kind}: {fault}")
    return ToolResult(for_model=text, is_error=True, fault=kind, found_nothing=is_nothing)


def head(opened: Opened) -> str:
    """What the page is, for the model: nothing in it is trusted."""
    title = plain_text.neutral(opened.page.title) or opened.source
    dated = f", dated {opened.page.dated}" if opened.page.dated else ""
    return f"{title}\nsource: {opened.source}{dated}, read {opened.fetched_at:%Y-%m-%d %H:%M} UTC"


def pieces_of(opened: Opened) -> Iterator[tuple[str, str]]:
    """The heading and text of each piece, fit for the model."""
    for section in opened.page.sections:
        for text in passages_of(section, max_chars=PASSAGE_CHARS):
            yield plain_text.neutral(section.heading), plain_text.neutral(text)


def passage(opened: Opened, heading: str, text: str) -> NewPassage:
    title = plain_text.neutral(opened.page.title) or opened.source
    named = f"{title}: {heading}" if heading else title
    return NewPassage(source=opened.source, title=named, text=text, fetched_at=opened.fetched_at)


def _shown(opened: Opened, number: int) -> ToolResult:
    parts = list(_parts(list(pieces_of(opened))))
    if number > len(parts):
        text = f"This source has {len(parts)} parts."
        return ToolResult(for_model=text, is_error=True, fault=Fault.BAD_ARGUMENTS)
    lines, last = [], ""
    for at, (heading, text) in enumerate(parts[number - 1]):
        if heading and heading != last:
            lines.append(f"## {heading}")
        last = heading
        lines.append(f"⟦{at}⟧ {text}")
    whole = "\n\n".join([head(opened), *lines, *_links(opened, number == len(parts))])
    place = f"\nThis is part {number} of {len(parts)}." if len(parts) > 1 else ""
    note = f"\n{opened.page.note}" if opened.page.note else ""
    return ToolResult(
        for_model=f"{strangers_text.marked(whole)}{place}{note}",
        passages=tuple(passage(opened, heading, text) for heading, text in parts[number - 1]),
        usage=ToolUsage(fetched_bytes=opened.num_bytes),
    )


def _parts(pieces: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    part: list[tuple[str, str]] = []
    for piece in pieces:
        if part and sum(len(text) for _, text in part) + len(piece[1]) > PART_CHARS:
            yield part
            part = []
        part.append(piece)
    yield part


def _links(opened: Opened, is_last: bool) -> list[str]:
    if not (is_last and opened.page.links):
        return []
    links = opened.page.links[:LINKS_SHOWN]
    return ["Links:\n" + "\n".join(f"- {plain_text.neutral(link.text)}: {link.url}" for link in links)]
