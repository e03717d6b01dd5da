"""A work as a Word document. For the process of the press alone."""

import io
import itertools
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from docx import Document
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.shared import Emu, Inches, Pt, RGBColor
from docx.text.paragraph import Paragraph
from markdown_it.tree import SyntaxTreeNode as Node

from agents.writing import docx_parts as parts
from agents.writing import formulas, markup, pictures
from agents.writing.work import Chapter, Reference, Work

WIDTH = Inches(6.1)  # of the text on an A4 page
MAX_HEIGHT = Inches(8)
_SIDES = {"right": WD_ALIGN_PARAGRAPH.RIGHT, "center": WD_ALIGN_PARAGRAPH.CENTER}


@dataclass(frozen=True)
class _Look:
    """How a piece of text is written. `link` is an address, or a bookmark's name behind a #."""

    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False
    colour: str = ""
    small: bool = False
    link: str = ""


def write(work: Work) -> bytes:
    """Raises pictures.NoPicture."""
    return _Writer(work).whole()


class _Writer:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._words = work.words
        self._document = Document()
        self._num_figures = 0
        self._num_tables = 0
        self._shift = 0
        self._bookmarks = itertools.count(1)

    def whole(self) -> bytes:
        document, work = self._document, self._work
        parts.set_up(document, language=self._words.language)
        document.add_paragraph(markup.clean(work.title), style="Title")
        document.add_paragraph(work.made_on, style="Subtitle")
        if work.has_contents:
            document.add_paragraph(self._words.contents, style="TOC Heading")
            parts.add_contents(document, [(one.title, one.level, _anchor(one)) for one in work.chapters])
        for chapter in work.chapters:
            self._chapter(chapter)
        if work.references:
            document.add_heading(self._words.sources, 1)
            for reference in work.references:
                self._reference(reference)
        made = datetime.fromisoformat(work.made_on)
        about = document.core_properties
        about.title, about.author, about.comments = markup.clean(work.title)[:250], "", ""
        about.created = about.modified = made
        out = io.BytesIO()
        document.save(out)
        return _with_fixed_times(out.getvalue())

    def _chapter(self, chapter: Chapter) -> None:
        heading = self._document.add_heading("", chapter.level)
        parts.add_bookmarked(heading, chapter.title, _anchor(chapter), number=next(self._bookmarks))
        first = min(markup.headings(chapter.text), default=1)
        self._shift = chapter.level + 1 - first
        self._blocks(markup.tree(chapter.text).children)

    def _reference(self, one: Reference) -> None:
        paragraph = self._document.add_paragraph(style="Source")
        parts.add_bookmarked(
            paragraph, f"{one.number}.", f"source_{one.number}", number=next(self._bookmarks)
        )
        paragraph.add_run(f"\t{markup.clean(one.title)}. " if one.title else "\t")
        is_web = one.address.startswith(("http://", "https://"))
        self._run(paragraph, one.address, _Look(link=one.address if is_web else "", code=not is_web))
        if one.read_on:
            paragraph.add_run(f" {self._words.read_on.format(one.read_on)}")
        if not one.is_kept:
            paragraph.add_run(f" {self._words.lost}")

    # ---- blocks

    def _blocks(self, nodes: Iterable[Node], *, depth: int = 0, style: str = "") -> None:
        """`depth` is that of the lists around; `style` that of the paragraphs."""
        for node in nodes:
            self._block(node, depth=depth, style=style)

    def _block(self, node: Node, *, depth: int, style: str) -> None:
        if node.type == "paragraph":
            self._paragraph(node, style)
        elif node.type == "heading":
            paragraph = self._document.add_heading("", min(int(node.tag[1]) + self._shift, 9))
            self._inline(paragraph, node.children, _Look())
        elif node.type in ("bullet_list", "ordered_list"):
            self._list(node, depth=depth)
        elif node.type == "blockquote":
            self._blocks(node.children, depth=depth, style="Quote")
        elif node.type in ("fence", "code_block"):
            self._document.add_paragraph(markup.clean(node.content.rstrip("\n")), style="Code")
        elif node.type == "table":
            self._table(node)
        elif node.type in ("math_block", "math_block_eqno"):
            paragraph = self._document.add_paragraph()
            paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER
            self._formula(paragraph, node.content, is_block=True)
        elif node.type == "hr":
            parts.add_rule(self._document.add_paragraph())

    def _paragraph(self, node: Node, style: str) -> None:
        if (figure := markup.figure_of(node)) is not None:
            self._figure(*figure)
            return
        self._inline(self._document.add_paragraph(style=style or None), node.children, _Look())

    def _list(self, node: Node, *, depth: int) -> None:
        is_ordered = node.type == "ordered_list"
        level = min(depth, 2)
        style = ("List Number" if is_ordered else "List Bullet") + (f" {level + 1}" if level else "")
        start = int(node.attrs.get("start", 1))
        numbering = parts.new_numbering(self._document, style, start=start) if is_ordered else None
        for item in node.children:
            paragraph = self._document.add_paragraph(style=style)
            if numbering is not None:
                parts.number_by(paragraph, numbering)
            rest = list(item.children)
            if rest and rest[0].type == "paragraph":
                self._inline(paragraph, rest.pop(0).children, _Look())
            further = "List Continue" + (f" {level + 1}" if level else "")
            self._blocks(rest, depth=depth + 1, style=further)

    def _table(self, node: Node) -> None:
        rows = [row for part in node.children for row in part.children]
        num_columns = max(len(row.children) for row in rows)
        table = self._document.add_table(rows=0, cols=num_columns, style="Report")
        for row in rows:
            cells = table.add_row().cells
            for place, cell in enumerate(row.children):
                paragraph = cells[place].paragraphs[0]
                side = str(cell.attrs.get("style", "")).removeprefix("text-align:")
                paragraph.alignment = _SIDES.get(side)
                self._inline(paragraph, cell.children, _Look(bold=cell.type == "th"))
        parts.repeat_first_row(table)
        self._document.add_paragraph().paragraph_format.space_after = Pt(2)

    def _figure(self, image: Node, rest: Iterable[Node]) -> None:
        path = str(image.attrs.get("src", ""))
        is_table = markup.is_table(path)
        if is_table:
            self._num_tables += 1
            name = self._words.table.format(self._num_tables)
            self._caption(name, image, rest, keeps_next=True)
            self._blocks(markup.tree(self._work.tables.get(path, "")).children)
            return
        self._num_figures += 1
        paragraph = self._document.add_paragraph()
        paragraph.paragraph_format.keep_with_next = True
        self._image(paragraph, image)
        self._caption(self._words.figure.format(self._num_figures), image, rest, keeps_next=False)

    def _caption(self, name: str, image: Node, rest: Iterable[Node], *, keeps_next: bool) -> None:
        paragraph = self._document.add_paragraph(style="Caption")
        paragraph.paragraph_format.keep_with_next = keeps_next
        self._run(paragraph, f"{name}. ", _Look(bold=True))
        self._inline(paragraph, [*(image.children or ()), *rest], _Look())

    # ---- inline

    def _inline(self, paragraph: Paragraph, nodes: Iterable[Node], look: _Look) -> None:
        for node in nodes:
            self._piece(paragraph, node, look)

    def _piece(self, paragraph: Paragraph, node: Node, look: _Look) -> None:
        looks = {
            "strong": replace(look, bold=True),
            "em": replace(look, italic=True),
            "s": replace(look, strike=True),
        }
        if node.type in looks or node.type == "inline":
            self._inline(paragraph, node.children, looks.get(node.type, look))
        elif node.type == "link":
            address = str(node.attrs.get("href", ""))
            linked = look if markup.is_path(address) else replace(look, link=address)
            self._inline(paragraph, node.children, linked)
        elif node.type in _WRITTEN:
            self._run(paragraph, _WRITTEN[node.type](node), replace(look, code=node.type == "code_inline"))
        elif node.type == "image":
            self._image(paragraph, node)
        elif node.type == "citation":
            if number := self._work.number_of(node.content):
                self._run(paragraph, f"[{number}]", replace(look, link=f"#source_{number}"))
        elif node.type == "doubt":
            self._run(paragraph, f" [{self._words.doubt}]", replace(look, colour="B3352A", small=True))
        elif node.type.startswith("math_inline"):
            self._formula(paragraph, node.content, is_block=False)

    def _run(self, paragraph: Paragraph, text: str, look: _Look) -> None:
        text = markup.clean(text)
        run: Any = parts.add_link(paragraph, text, look.link) if look.link else paragraph.add_run(text)
        run.bold, run.italic = look.bold or None, look.italic or None
        run.font.strike = look.strike or None
        if look.code:
            run.font.name, run.font.size = parts.MONOSPACED, Pt(9)
        if look.colour:
            run.font.color.rgb = RGBColor.from_string(look.colour)
        if look.small:
            run.font.size = Pt(8)

    def _image(self, paragraph: Paragraph, node: Node) -> None:
        path = str(node.attrs.get("src", ""))
        content = self._work.pictures.get(path)
        words = markup.alternative(node)
        if content is None:
            paragraph.add_run(markup.clean(words))
            return
        shape = paragraph.add_run().add_picture(io.BytesIO(pictures.fresh(content, name=path)))
        share = min(WIDTH / shape.width, MAX_HEIGHT / shape.height, 1)
        shape.width, shape.height = Emu(int(shape.width * share)), Emu(int(shape.height * share))
        parts.describe(shape, words)

    def _formula(self, paragraph: Paragraph, tex: str, *, is_block: bool) -> None:
        drawn = formulas.draw(tex, kind="png")
        if drawn is None:
            self._run(paragraph, tex.strip(), _Look(code=True))
            return
        run = paragraph.add_run()
        shape = run.add_picture(io.BytesIO(drawn.content))
        parts.describe(shape, tex.strip())
        if not is_block:
            parts.lower(run, points=drawn.depth)


_WRITTEN: dict[str, Callable[[Node], str]] = {
    "text": lambda node: node.content,
    "code_inline": lambda node: node.content,
    "softbreak": lambda _: " ",
    "hardbreak": lambda _: "\n",
}


def _with_fixed_times(packed: bytes) -> bytes:
    """The same text makes the same file."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            target.writestr(entry, source.read(name), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _anchor(chapter: Chapter) -> str:
    """A bookmark's name: letters, digits and underscores, at most 40 of them."""
    return f"section_{chapter.id.encode().hex()[:31]}"
