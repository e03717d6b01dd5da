"""Values of places, looked up by the place's name and the words of the fact's."""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches

from agents.corpus.index import Index
from agents.corpus.place_names import plain

MAX_FOUND = 12
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_NUMBER = re.compile(
    r"(?P<sign>[-−]?)\$?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)\s*"
    r"(?P<scale>thousand|million|billion|trillion)?\b\s*(?P<unit>%|[^\d;(,]{0,40})"
)
_DATE = re.compile(r"\((?:[^()]*?\b)?((?:FY)?(?:19|20)\d\d(?:[-/]\d{2,4})?(?: est\.)?)\)")
_WORD = re.compile(r"[^\W_]+")


class UnknownPlace(Exception):
    """No place has this name; `similar` are names that come near."""

    def __init__(self, place: str, similar: Sequence[str]) -> None:
        super().__init__(f"No place is called {place!r}.")
        self.similar = tuple(similar)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    value: Decimal
    unit: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """A fact with what of it is a number, and the year it is from where it says one."""

    place: str
    name: str
    text: str
    note: str
    document: str
    origin: str
    installed_at: datetime

    @property
    def quantity(self) -> Quantity | None:
        return quantity(self.text)

    @property
    def as_of(self) -> str:
        dated = _DATE.search(self.text)
        return dated[1] if dated else ""


def quantity(text: str) -> Quantity | None:
    """The number that the text begins with, in full; None where it begins with a word."""
    found = _NUMBER.match(text.strip())
    if found is None:
        return None
    value = Decimal(found["digits"].replace(",", "")) * _SCALES.get(found["scale"] or "", 1)
    unit = "USD" if "$" in text[: found.end("digits")] else found["unit"].strip()
    return Quantity(value=-value if found["sign"] else value, unit=unit)


def places(index: Index) -> list[str]:
    """The name of every place, sorted. Raises NoIndex."""
    with index.opened() as connection:
        return [row[0] for row in connection.execute("SELECT DISTINCT place FROM facts ORDER BY place")]


def places_with(index: Index, fact: str) -> list[str]:
    """The places for which the fact of this name or these words is known, sorted. Raises NoIndex."""
    with index.opened() as connection:
        names = _best_names(fact, [row[0] for row in connection.execute("SELECT DISTINCT name FROM facts")])
        marks = ",".join("?" * len(names))
        asked = f"SELECT DISTINCT place FROM facts WHERE name IN ({marks}) ORDER BY place"
        return [row[0] for row in connection.execute(asked, names)]


def lookup(index: Index, place: str, fact: str) -> list[Found]:
    """The facts of the place that fit best; those below a name come with it. Raises NoIndex, UnknownPlace."""
    with index.opened() as connection:
        name = _place(connection, place)
        rows = connection.execute(
            "SELECT f.place, f.name, f.text, f.note, f.document, c.origin, c.installed_at "
            "FROM facts f JOIN corpora c ON c.name = f.corpus WHERE f.place = ? ORDER BY f.number",
            (name,),
        ).fetchall()
    wanted = set(_best_names(fact, [row[1] for row in rows]))
    return [
        Found(
            place=row[0],
            name=row[1],
            text=row[2],
            note=row[3],
            document=row[4],
            origin=row[5],
            installed_at=datetime.fromisoformat(row[6]),
        )
        for row in rows
        if row[1] in wanted
    ][:MAX_FOUND]


def names_of(index: Index, place: str) -> list[str]:
    """What is known of the place. Raises NoIndex, UnknownPlace."""
    with index.opened() as connection:
        asked = "SELECT name FROM facts WHERE place = ? ORDER BY number"
        return [row[0] for row in connection.execute(asked, (_place(connection, place),))]


def _place(connection: sqlite3.Connection, place: str) -> str:
    row = connection.execute(
        "SELECT place FROM places WHERE alias = ? ORDER BY place LIMIT 1", (plain(place),)
    ).fetchone()
    if row is not None:
        return str(row[0])
    known = dict(connection.execute("SELECT alias, place FROM places"))
    near = get_close_matches(plain(place), known, n=4, cutoff=0.6)
    raise UnknownPlace(place, list(dict.fromkeys(known[alias] for alias in near)))


def _best_names(fact: str, names: Sequence[str]) -> list[str]:
    """The names that the words mean: the very name or its end, else those with a part of exactly these words,
    else with a part that ends so, else those that hold all the words, the shortest first."""
    asked = _words(fact)
    if not asked:
        return []
    spelled = {name: [_words(part) for part in name.split(" / ")] for name in dict.fromkeys(names)}
    for fits in (_is_whole, _is_part, _is_end):
        if found := [name for name, parts in spelled.items() if fits(parts, asked)]:
            return found
    flat = {name: sum(parts, []) for name, parts in spelled.items()}
    holding = [name for name, words in flat.items() if set(asked) <= set(words)]
    return sorted(holding, key=lambda name: len(flat[name]))[:MAX_FOUND]


def _is_whole(parts: list[list[str]], asked: list[str]) -> bool:
    """ "Area / total" names "Geography / Area / total"."""
    return any(sum(parts[at:], []) == asked for at in range(len(parts)))


def _is_part(parts: list[list[str]], asked: list[str]) -> bool:
    return asked in parts


def _is_end(parts: list[list[str]], asked: list[str]) -> bool:
    return any(part[-len(asked) :] == asked for part in parts)


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(name)]
