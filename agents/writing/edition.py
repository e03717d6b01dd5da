"""A manuscript made ready to be printed: citations numbered through, pictures and tables gathered, doubts
marked; and as Markdown."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any

import msgspec
from markdown_it.tree import SyntaxTreeNode

from agents import plain_text
from agents.workspace import BadPath, NoSuchFile, Workspace, WorkspaceFull
from agents.writing import markup
from agents.writing.manuscript import CITED, KEY_CHARS, Manuscript, Section
from agents.writing.markup import DOUBT
from agents.writing.work import Chapter, Reference, Work

MAX_PICTURE_BYTES = 20 * 2**20
MAX_SHOWN_BYTES = 40 * 2**20  # all together
MAX_TABLE_BYTES = 2 * 2**20
_RUN = re.compile(rf"(?:\[\^[0-9a-f]{{{KEY_CHARS}}}\])+")


class NotPrintable(Exception):
    """Something that the text shows is not there; the text says what and where."""


def compose(
    manuscript: Manuscript, workspace: Workspace, *, made_on: date, lost: Collection[str] = ()
) -> Work:
    """`lost` are the keys whose passages are not kept any more. Raises NotPrintable."""
    numbers = _numbers(manuscript)
    pictures, tables = _shown(manuscript.sections, workspace)
    chapters = tuple(
        Chapter(
            id=section.id,
            title=section.title,
            level=section.level,
            text=_RUN.sub(lambda run: _once(run[0], numbers), _with_doubts(section)),
        )
        for section in manuscript.sections
    )
    return Work(
        title=manuscript.title,
        made_on=made_on.isoformat(),
        chapters=chapters,
        numbers=numbers,
        references=tuple(_references(manuscript, numbers, lost)),
        pictures=pictures,
        tables=tables,
    )


def evidence(manuscript: Manuscript, work: Work, texts: Mapping[str, str]) -> bytes:
    """What each number stands for, passage by passage, as JSON: fingerprints can be worked out again from the
    texts."""
    entries: list[dict[str, Any]] = [
        {
            "number": work.numbers[key],
            "source": source.source,
            "title": source.title,
            "fetched_at": source.fetched_at,
            "turn": source.turn,
            "passage": source.number,
            "sha256": source.sha256,
            "text": texts.get(key),
        }
        for key, source in manuscript.sources.items()
        if key in work.numbers
    ]
    entries.sort(key=lambda entry: entry["number"])
    about = {"title": work.title, "made_on": work.made_on, "passages": entries}
    return msgspec.json.format(msgspec.json.encode(about), indent=1)


# ---- citations


def _numbers(manuscript: Manuscript) -> dict[str, int]:
    """By the order in which sources are first cited. Passages of one source share its number."""
    by_source: dict[str, int] = {}
    numbers = {}
    for section in manuscript.sections:
        for key in section.cited:
            if (source := manuscript.sources.get(key)) is not None:
                numbers[key] = by_source.setdefault(source.source, len(by_source) + 1)
    return numbers


def _once(run: str, numbers: Mapping[str, int]) -> str:
    """Citations that stand together, each number once."""
    kept: dict[int, str] = {}
    for key in CITED.findall(run):
        if key in numbers:
            kept.setdefault(numbers[key], key)
    return "".join(f"[^{key}]" for key in kept.values())


def _references(
    manuscript: Manuscript, numbers: Mapping[str, int], lost: Collection[str]
) -> Iterable[Reference]:
    for number in sorted(set(numbers.values())):
        keys = [key for key in numbers if numbers[key] == number]
        sources = [manuscript.sources[key] for key in keys]
        yield Reference(
            number=number,
            title=next((source.title for source in sources if source.title), ""),
            address=sources[0].source,
            read_on=max(source.fetched_at for source in sources)[:10],
            is_kept=not any(key in lost for key in keys),
        )


def _with_doubts(section: Section) -> str:
    text = plain_text.clean(section.text).replace(DOUBT, "")
    for doubt in section.last_check.doubts if section.last_check else ():
        sentence = doubt.sentence.rstrip()
        if sentence.endswith("|"):  # a row of a table: into its last cell
            text = text.replace(sentence, f"{sentence[:-1].rstrip()}{DOUBT} |")
        elif sentence:
            text = text.replace(sentence, f"{sentence}{DOUBT}")
    return text


# ---- what it shows


def _shown(sections: Iterable[Section], workspace: Workspace) -> tuple[dict[str, bytes], dict[str, str]]:
    pictures: dict[str, bytes] = {}
    tables: dict[str, str] = {}
    faults = []
    for section in sections:
        for target in markup.targets(section.text):
            if target in pictures or target in tables:
                continue
            try:
                if not markup.is_path(target):
                    raise NoSuchFile(f"{target!a:.100} is no picture of the work folder.")
                if markup.is_table(target):
                    content = workspace.folder.read(target, max_bytes=MAX_TABLE_BYTES)
                    tables[target] = plain_text.clean(content.decode(errors="replace"))
                else:
                    pictures[target] = workspace.folder.read(target, max_bytes=MAX_PICTURE_BYTES)
            except (NoSuchFile, BadPath, WorkspaceFull) as fault:
                faults.append(f"{section.id}: {fault}")
    if sum(map(len, pictures.values())) > MAX_SHOWN_BYTES:
        faults.append("the pictures are too large together: make them smaller")
    if faults:
        raise NotPrintable("Not exported. " + "; ".join(faults[:10]))
    return pictures, tables


# ---- Markdown


def as_markdown(work: Work, *, folder: str = "../") -> str:
    """`folder` leads from the file to the work folder."""
    writer = _Markdown(work, folder)
    parts = [f"# {work.title}", work.made_on]
    for chapter in work.chapters:
        parts.append(f"{'#' * (chapter.level + 1)} {chapter.title}")
        parts.append(writer.text(chapter))
    if work.references:
        parts.append(f"## {work.words.sources}")
        parts.append("\n".join(_entry(work, reference) for reference in work.references))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _entry(work: Work, one: Reference) -> str:
    is_web = one.address.startswith(("http://", "https://"))
    words = [f"{one.number}.", f"{one.title}." if one.title else ""]
    words.append(f"<{one.address}>" if is_web else f"`{one.address}`")
    words.append(work.words.read_on.format(one.read_on) if one.read_on else "")
    words.append("" if one.is_kept else work.words.lost)
    return " ".join(word for word in words if word)


class _Markdown:
    def __init__(self, work: Work, folder: str) -> None:
        self._work = work
        self._folder = folder
        self._num_figures = 0
        self._num_tables = 0

    def text(self, chapter: Chapter) -> str:
        lines = chapter.text.split("\n")
        first = min(markup.headings(chapter.text), default=1)
        shift = chapter.level + 2 - first
        for node in reversed(self._named(chapter.text)):
            start, end = node.map or (0, 0)
            if node.type == "heading":
                level = min(int(node.tag[1]) + shift, 6)
                lines[start:end] = [f"{'#' * level} {node.children[0].content}"]
            elif node in self._figures:
                lines[start:end] = self._figures[node].split("\n")
        text = "\n".join(lines).replace(DOUBT, f" *[{self._work.words.doubt}]*")
        return CITED.sub(lambda match: self._number(match[1]), text)

    def _named(self, text: str) -> list[SyntaxTreeNode]:
        """Its blocks; those that are figures have got their numbers."""
        nodes = list(markup.tree(text).children)
        self._figures = {node: self._figure(node) for node in nodes if markup.figure_of(node) is not None}
        return nodes

    def _figure(self, node: SyntaxTreeNode) -> str:
        found = markup.figure_of(node)
        assert found is not None
        image, _ = found
        path = str(image.attrs["src"])
        source = node.children[0].content
        caption = f"{image.content}{source[source.index('](') + 2 :].partition(')')[2]}"
        if markup.is_table(path):
            self._num_tables += 1
            name = self._work.words.table.format(self._num_tables)
            return f"**{name}.** {caption}\n\n{self._work.tables.get(path, '').strip()}"
        self._num_figures += 1
        name = self._work.words.figure.format(self._num_figures)
        return f"![{image.content}]({self._folder}{path})\n\n**{name}.** {caption}"

    def _number(self, key: str) -> str:
        number = self._work.number_of(key)
        return f"[{number}]" if number else ""
