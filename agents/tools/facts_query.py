"""Single facts about places, with value, source and date."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from agents.corpus import facts, web_site
from agents.corpus.facts import UnknownPlace
from agents.corpus.index import Index, NoIndex
from agents.tool import Caching, Fault, NewPassage, Scope, ToolContext, ToolResult, Traits, Trust
from inference.schema import ToolSpec

TTL_S = 30 * 86_400.0  # until another version of the index is installed
MAX_FACTS = 5
MAX_TEXT_CHARS = 1_500
NAMES_SHOWN = 60

DESCRIPTION = """\
Look up facts about a country or territory in The World Factbook: each with its value, unit, year and source,
and a number such as [7] to cite. Name facts as the book does: "Area / total", "Population / total",
"Coastline", "Land boundaries / border countries", "Real GDP per capita 2024", "Capital / name". With "facts"
alone you get the places for which that is known; with "place" alone, what is known of it. Examples: {"place":
"France", "facts": ["Coastline", "Population / total"]}, {"facts": ["Elevation / mean elevation"]}"""


class FactsQuery:
    spec = ToolSpec(
        name="facts_query",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "place": {"type": "string", "minLength": 1, "maxLength": 100},
                "facts": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": 120},
                    "minItems": 1,
                    "maxItems": MAX_FACTS,
                },
            },
            "additionalProperties": False,
            "minProperties": 1,
        },
    )

    def __init__(self, index: Index, *, site: str = "") -> None:
        self._index = index
        self._site = site
        caching = Caching(ttl_s=TTL_S, scope=Scope.EVERYBODY, vary=(index.version, site))
        self.traits = Traits(trust=Trust.FACTS, caching=caching)

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        place, asked = arguments.get("place", ""), arguments.get("facts", [])
        try:
            return await asyncio.to_thread(self._answer, place, asked)
        except UnknownPlace as fault:
            near = f" Similar: {', '.join(fault.similar)}." if fault.similar else ""
            return ToolResult(for_model=f"{fault}{near}", found_nothing=True)
        except (NoIndex, sqlite3.Error) as fault:
            return ToolResult(
                for_model=f"The facts cannot be read: {fault}", is_error=True, fault=Fault.FAILED
            )

    def _answer(self, place: str, asked: Sequence[str]) -> ToolResult:
        if not place:
            return self._places(asked)
        if not asked:
            names = dict.fromkeys(
                name.rpartition(" / ")[0] or name for name in facts.names_of(self._index, place)
            )
            return ToolResult(for_model=f"Known of {place}: {'; '.join(names)}")
        found = {name: facts.lookup(self._index, place, name) for name in asked}
        missing = [name for name, known in found.items() if not known]
        result = self._shown([fact for known in found.values() for fact in known])
        words = (
            f"Nothing is known of {place} by the name of {', '.join(map(repr, missing))}." if missing else ""
        )
        text = "\n".join(part for part in (result.for_model, words) if part)
        return ToolResult(for_model=text, passages=result.passages, found_nothing=len(missing) == len(asked))

    def _places(self, asked: Sequence[str]) -> ToolResult:
        """Names alone: a value is looked up place by place, so that each can be cited."""
        known = [set(facts.places_with(self._index, name)) for name in asked]
        names = sorted(set.intersection(*known))
        if not names:
            return ToolResult(for_model="No place has all of these facts.", found_nothing=True)
        return ToolResult(for_model=f"{len(names)} places: {'; '.join(names)}")

    def _shown(self, found: Sequence[facts.Found]) -> ToolResult:
        unique = list(dict.fromkeys(found))
        passages = tuple(
            NewPassage(
                source=web_site.address(self._site, fact.document) if self._site else fact.document,
                title=f"{fact.place} ({fact.origin})",
                text=f"{fact.place}: {fact.name}: {_full(fact)}",
                fetched_at=fact.installed_at,
            )
            for fact in unique
        )
        return ToolResult(for_model="\n".join(map(_line, range(len(unique)), unique)), passages=passages)


def _line(at: int, fact: facts.Found) -> str:
    quantity = fact.quantity
    value = f" | value {format(quantity.value.normalize(), 'f')} {quantity.unit}".rstrip() if quantity else ""
    as_of = f" | as of {fact.as_of}" if fact.as_of else ""
    source = f"{fact.document}, {fact.origin}"
    return f"⟦{at}⟧ {fact.place} | {fact.name}: {_full(fact)}{value}{as_of} | source {source}"


def _full(fact: facts.Found) -> str:
    text = f"{fact.text} (note: {fact.note})" if fact.note else fact.text
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]}…"
