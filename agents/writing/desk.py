"""What can be done with a document in a turn. Every change is kept whole or not at all, and doing it again
changes nothing more."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from agents import plain_text
from agents.citations import PassageSource
from agents.steps.asking import Ask
from agents.tool import NewPassage, ToolContext, ToolResult, least_trusted
from agents.transcript import Transcript
from agents.workspace import NoSuchFile, TurnFiles, Workspace
from agents.writing import citing, fact_check, manuscript, markup, shelf
from agents.writing.citing import EarlierTurns, Numbering
from agents.writing.exporting import Exporter
from agents.writing.manuscript import Manuscript, Section
from agents.writing.press import Press

MAX_TURNS = 12  # of those that worked on a section, the last ones
_MARKS = str.maketrans("", "", "⟦⟧")


class Misuse(Exception):
    """The call cannot be done as it stands; the text says what to do instead."""


@dataclass(frozen=True, kw_only=True)
class TurnAtHand:
    """What a turn has read and done so far; `ask` gives somebody to judge by, or None."""

    id: str
    passages: PassageSource
    transcript: Callable[[], Transcript]
    ask: Callable[[], Ask | None] = lambda: None


class Desk:
    """The documents of one turn's work folder."""

    def __init__(self, files: TurnFiles, *, turn: TurnAtHand, earlier: EarlierTurns, press: Press) -> None:
        self._files = files
        self._turn = turn
        self._earlier = earlier
        self._exporter = Exporter(press)

    # ---- writing

    async def outline(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        workspace, name = await self._files.workspace(), arguments["name"]
        try:
            before = await asyncio.to_thread(shelf.load, workspace, name)
        except shelf.NoManuscript:
            before = Manuscript(title="")
        wanted = arguments["sections"]
        ids = [one["id"] for one in wanted]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            raise Misuse(f"Not changed: two sections are called {', '.join(twice)}.")
        lost = [one.id for one in before.sections if one.text and one.id not in ids]
        if lost:
            raise Misuse(f"Not changed: {', '.join(lost)} have texts; name them too, or remove them first.")
        sections = tuple(_ordered(one, before.section(one["id"])) for one in wanted)
        after = msgspec.structs.replace(before, title=_plain(arguments["title"]), sections=sections)
        await self._save(workspace, name, after.citing({}), context)
        return ToolResult(for_model=f"Kept: {len(sections)} sections.", for_user=_outline(after))

    async def write(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        workspace, document = await self._open(arguments)
        old = document.section(arguments["section"])
        if old is None and "title" not in arguments:
            known = ", ".join(section.id for section in document.sections)
            raise Misuse(f"There is no section {arguments['section']!r} ({known}): give a new one a title.")
        if old is None and arguments.get("after") and document.section(arguments["after"]) is None:
            raise Misuse(f"There is no section {arguments['after']!r} to put it after.")
        begun = old or Section(id=arguments["section"], title="")
        section = msgspec.structs.replace(
            begun,
            title=_plain(arguments.get("title", begun.title)),
            level=arguments.get("level", begun.level),
        )
        text = _without_heading(arguments["text"], section.title)
        return await self._put(workspace, document, section, text, arguments, context)

    async def revise(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        workspace, document = await self._open(arguments)
        section = _there(document, arguments)
        numbering = await self._numbering(document, section)
        text = citing.numbered(section.text, numbering.number).text
        old, new = (arguments[name].translate(_MARKS) for name in ("old", "new"))
        if text.count(old) != 1 or not old:
            if new and new in text and old not in text:
                return ToolResult(for_model=f"{section.id} says that already.")
            times = "more than once: give more of what stands around it" if old and old in text else "nowhere"
            raise Misuse(f"Not changed: the old words stand in {section.id} {times}. Read the section first.")
        changed = text.replace(old, new)
        return await self._put(workspace, document, section, changed, arguments, context, numbering)

    async def remove(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        workspace, document = await self._open(arguments)
        after = document.without(arguments["section"]).citing({})
        await self._save(workspace, arguments["name"], after, context)
        return ToolResult(for_model=f"{arguments['section']} is gone.")

    async def _put(
        self,
        workspace: Workspace,
        document: Manuscript,
        section: Section,
        text: str,
        arguments: Mapping[str, Any],
        context: ToolContext,
        numbering: Numbering | None = None,
    ) -> ToolResult:
        """The section with this text, in which the turn's numbers cite."""
        text = plain_text.clean(text).translate(_MARKS).replace(markup.DOUBT, "").strip()
        if len(text) > manuscript.MAX_SECTION_CHARS:
            raise Misuse(f"Not kept: {section.id} has more than {manuscript.MAX_SECTION_CHARS} characters.")
        if len(document.sections) == manuscript.MAX_SECTIONS and document.section(section.id) is None:
            raise Misuse(f"Not kept: there are {manuscript.MAX_SECTIONS} sections already.")
        await asyncio.to_thread(_check_figures, workspace, text)
        passages = {passage.number: passage for passage in await self._turn.passages.passages()}
        # A revised text may still cite by numbers that this call itself brings along.
        passages |= {passage.number: passage for passage in (numbering.brought if numbering else ())}
        kept = citing.kept(text, passages, turn=self._turn.id, known=document.sources)
        if kept.missing:
            named = ", ".join(f"[{number}]" for number in kept.missing)
            raise Misuse(f"Not kept: {named} is no passage of this turn. Cite what you have read.")
        turns = tuple(dict.fromkeys([*(one for one in section.turns if one != self._turn.id), self._turn.id]))
        section = msgspec.structs.replace(section, text=kept.text, turns=turns[-MAX_TURNS:])
        after = document.with_section(section, after=arguments.get("after", ""))
        # What was cited from earlier turns keeps the name that it had there.
        await self._save(workspace, arguments["name"], after.citing(kept.sources), context)
        said = f"Kept {section.id}: {manuscript.num_words(text)} words, {len(section.cited)} passages cited."
        return ToolResult(for_model=said, for_user=f"## {section.title}\n\n{text}")

    # ---- reading and checking

    async def read(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        _, document = await self._open(arguments)
        if "section" not in arguments:
            return ToolResult(for_model=_outline(document))
        section = _there(document, arguments)
        numbering = await self._numbering(document, section)
        text = citing.numbered(section.text, numbering.mark).text
        lost = _lost(numbering)
        return _bringing(numbering, f"{section.id}: {section.title}\n\n{text or '(no text yet)'}{lost}")

    async def check(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        workspace, document = await self._open(arguments)
        section = _there(document, arguments)
        numbering = await self._numbering(document, section)
        checked = await fact_check.check(
            section, numbering, turn=self._turn.id, sources=await self._sources(), ask=self._turn.ask()
        )
        after = document.with_section(msgspec.structs.replace(section, check=checked.check))
        await self._save(workspace, arguments["name"], after, context)
        return _bringing(numbering, f"{checked.report(numbering.mark)}{_lost(numbering)}")

    async def export(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        workspace, document = await self._open(arguments)
        everything = Numbering(await self._turn.passages.passages())
        await everything.bring(document.sources, self._earlier)
        sources = await self._sources()
        for section in document.sections:
            if section.text and section.last_check is None:
                # By rule only: a judge for every chapter at once would cost as much as writing it.
                checked = await fact_check.check(
                    section, everything, turn=self._turn.id, sources=sources, ask=None
                )
                document = document.with_section(msgspec.structs.replace(section, check=checked.check))
        await self._save(workspace, arguments["name"], document, context)
        return await self._exporter.export(
            document,
            workspace,
            name=arguments["name"],
            kinds=arguments.get("formats") or None,
            texts=await self._texts(document, everything),
            step=context.step,
        )

    # ---- what they need

    async def _open(self, arguments: Mapping[str, Any]) -> tuple[Workspace, Manuscript]:
        workspace = await self._files.workspace()
        return workspace, await asyncio.to_thread(shelf.load, workspace, arguments["name"])

    async def _save(
        self, workspace: Workspace, name: str, document: Manuscript, context: ToolContext
    ) -> None:
        await asyncio.to_thread(shelf.save, workspace, name, document, step=context.step)

    async def _numbering(self, document: Manuscript, section: Section) -> Numbering:
        numbering = Numbering(await self._turn.passages.passages())
        cited = {key: document.sources[key] for key in section.cited if key in document.sources}
        await numbering.bring(cited, self._earlier)
        return numbering

    async def _sources(self) -> fact_check.Reading:
        return fact_check.Reading(
            transcript=self._turn.transcript(),
            passages=await self._turn.passages.passages(),
            earlier=self._earlier,
        )

    async def _texts(self, document: Manuscript, numbering: Numbering) -> dict[str, str]:
        """What the cited passages say, of those that are still kept as they were."""
        here = await self._turn.passages.passages()
        kept = (passage for passage in [*here, *numbering.brought] if passage.is_intact)
        found = {manuscript.key_of(passage): passage.text for passage in kept}
        return {key: found[key] for key in document.sources if key in found}


def _there(document: Manuscript, arguments: Mapping[str, Any]) -> Section:
    if (section := document.section(arguments["section"])) is None:
        known = ", ".join(one.id for one in document.sections)
        raise Misuse(f"There is no section {arguments['section']!r}: there are {known or 'none'}.")
    return section


def _ordered(wanted: Mapping[str, Any], old: Section | None) -> Section:
    section = old or Section(id=wanted["id"], title="")
    return msgspec.structs.replace(
        section, title=_plain(wanted["title"]), level=wanted.get("level", section.level)
    )


def _plain(text: str) -> str:
    return " ".join(plain_text.clean(text).translate(_MARKS).split())


def _without_heading(text: str, title: str) -> str:
    """Models begin a section with its own heading although it has one."""
    first, _, rest = text.lstrip().partition("\n")
    is_heading = first.startswith("#") and first.lstrip("# ").strip(" *").casefold() == title.casefold()
    return rest if is_heading else text


def _check_figures(workspace: Workspace, text: str) -> None:
    for target in markup.targets(text):
        if not markup.is_path(target):
            raise Misuse(
                f"Not kept: {target!a:.100} is no picture or table of the work folder. Draw it with chart, "
                "or leave the image out."
            )
        try:
            workspace.folder.about(target)
        except NoSuchFile as missing:
            raise Misuse(f"Not kept: there is no file {target}. Make it first.") from missing


def _outline(document: Manuscript) -> str:
    lines = [document.title]
    for section in document.sections:
        words = manuscript.num_words(section.text)
        state = f"{words} words, {len(section.cited)} cited, {_state(section)}" if section.text else "empty"
        lines.append(f"{'  ' * (section.level - 1)}{section.id}  {section.title} ({state})")
    return "\n".join(lines)


def _state(section: Section) -> str:
    if (check := section.last_check) is None:
        return "not checked"
    return f"{len(check.doubts)} not borne out" if check.doubts else "checked"


def _bringing(numbering: Numbering, text: str) -> ToolResult:
    """A result that makes the passages of earlier turns passages of this one, trusted no more than there."""
    result = ToolResult(
        for_model=text,
        passages=tuple(
            NewPassage(
                source=passage.source, title=passage.title, text=passage.text, fetched_at=passage.fetched_at
            )
            for passage in numbering.brought
            if passage.fetched_at is not None
        ),
    )
    trusts = [passage.trust for passage in numbering.brought]
    return replace(result, trust=least_trusted(result.trust, *trusts))


def _lost(numbering: Numbering) -> str:
    if not numbering.lost:
        return ""
    marks = ", ".join(f"[^{key}]" for key in numbering.lost)
    return f"\n[What {marks} cited is not kept any more: cite something else.]"
