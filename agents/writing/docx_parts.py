"""What python-docx has no words for: styles of our own, links, bookmarks, fields, lists that begin anew."""

from typing import Any

from docx.document import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor
from docx.text.paragraph import Paragraph
from docx.text.run import Run

from agents.writing.markup import clean

BODY, CHINESE, MONOSPACED = "Calibri", "Microsoft YaHei", "Consolas"
INK, ACCENT, MUTED = "1A1A1A", "1263D6", "5C5C5C"
_HEADINGS = {1: 18, 2: 14, 3: 12, 4: 11}


def element(tag: str, /, **attributes: str) -> Any:
    made = OxmlElement(tag)
    for key, value in attributes.items():
        made.set(qn(f"w:{key}"), value)
    return made


# ---- the page and its styles


def set_up(document: Document, *, language: str) -> None:
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.75)
    section.top_margin, section.bottom_margin = Cm(2.4), Cm(2.2)
    normal = document.styles["Normal"]
    _font(normal, Pt(11))
    normal.paragraph_format.space_after, normal.paragraph_format.line_spacing = Pt(8), 1.2
    tongue = element("w:lang", val="en-US" if language == "en" else "zh-CN", eastAsia="zh-CN")
    normal.element.get_or_add_rPr().append(tongue)
    for level in range(1, 10):
        style = document.styles[f"Heading {level}"]
        _font(style, Pt(_HEADINGS.get(level, 11)), colour=INK)
        style.paragraph_format.space_before, style.paragraph_format.space_after = Pt(16), Pt(6)
    _font(document.styles["Title"], Pt(26), colour=INK)
    _without_border(document.styles["Title"])
    _font(document.styles["Subtitle"], Pt(10), colour=MUTED)
    _font(document.styles["Caption"], Pt(9), colour=MUTED)
    document.styles["Caption"].font.bold = False
    for name in ("Code", "Source", "TOC Heading", "Contents"):
        if name not in document.styles:
            document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH).base_style = normal
    _font(document.styles["TOC Heading"], Pt(14), colour=INK)
    _code(document.styles["Code"])
    source = document.styles["Source"].paragraph_format
    source.left_indent, source.first_line_indent, source.space_after = Cm(0.9), Cm(-0.9), Pt(4)
    source.tab_stops.add_tab_stop(Cm(0.9))
    document.styles["Contents"].paragraph_format.space_after = Pt(2)
    _report_table(document)
    _number_pages(section.footer.paragraphs[0])


def _font(style: Any, size: Any, *, colour: str = "", name: str = BODY) -> None:
    style.font.name, style.font.size = name, size
    if colour:
        style.font.color.rgb = RGBColor.from_string(colour)
    fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
    for theme in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
        fonts.attrib.pop(qn(f"w:{theme}"), None)
    fonts.set(qn("w:eastAsia"), CHINESE)


def _without_border(style: Any) -> None:
    properties = style.element.get_or_add_pPr()
    for border in properties.findall(qn("w:pBdr")):
        properties.remove(border)


def _code(style: Any) -> None:
    _font(style, Pt(9), name=MONOSPACED)
    style.paragraph_format.line_spacing = 1.1
    properties = style.element.get_or_add_pPr()
    properties.append(element("w:shd", val="clear", color="auto", fill="F5F5F5"))


def _report_table(document: Document) -> None:
    """Hairlines between rows, none between columns."""
    style: Any = document.styles.add_style("Report", WD_STYLE_TYPE.TABLE)
    style.base_style = document.styles["Normal Table"]
    style.font.size = Pt(9.5)
    style.paragraph_format.space_after = Pt(0)
    borders = element("w:tblBorders")
    for side, size, colour in (("top", "8", INK), ("bottom", "4", "BFBFBF"), ("insideH", "4", "E3E3E3")):
        borders.append(element(f"w:{side}", val="single", sz=size, space="0", color=colour))
    properties = element("w:tblPr")
    properties.append(borders)
    style.element.append(properties)


def _number_pages(paragraph: Paragraph) -> None:
    paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER
    run = paragraph.add_run()
    for piece in _field(" PAGE "):
        run._r.append(piece)


def _field(instruction: str) -> list[Any]:
    text = element("w:instrText")
    text.set(qn("xml:space"), "preserve")
    text.text = instruction
    return [element("w:fldChar", fldCharType="begin"), text, element("w:fldChar", fldCharType="end")]


# ---- contents, bookmarks and links


def add_contents(document: Document, headings: list[tuple[str, int, str]]) -> None:
    """A field that Word can bring up to date, holding the entries already."""
    paragraphs = []
    for title, level, anchor in headings:
        paragraph = document.add_paragraph(style="Contents")
        paragraph.paragraph_format.left_indent = Cm(0.6 * (level - 1))
        add_link(paragraph, clean(title), f"#{anchor}", is_plain=True)
        paragraphs.append(paragraph)
    begin, text, end = _field(r' TOC \o "1-3" \h \z \u ')
    opening = element("w:r")
    for piece in (begin, text, element("w:fldChar", fldCharType="separate")):
        opening.append(piece)
    first = paragraphs[0]._p
    first.insert(1 if first.pPr is not None else 0, opening)
    paragraphs[-1].add_run()._r.append(end)


def add_bookmarked(paragraph: Paragraph, text: str, name: str, *, number: int) -> None:
    """`number` is the bookmark's own among those of the document."""
    paragraph._p.append(element("w:bookmarkStart", id=str(number), name=name))
    paragraph.add_run(clean(text))
    paragraph._p.append(element("w:bookmarkEnd", id=str(number)))


def add_link(paragraph: Paragraph, text: str, target: str, *, is_plain: bool = False) -> Run:
    """A link to an address, or to a bookmark behind a #."""
    link = element("w:hyperlink")
    if target.startswith("#"):
        link.set(qn("w:anchor"), target[1:])
    else:
        address = clean(target)
        link.set(qn("r:id"), paragraph.part.relate_to(address, RELATIONSHIP_TYPE.HYPERLINK, is_external=True))
    run = paragraph.add_run(text)
    link.append(run._r)
    paragraph._p.append(link)
    if not is_plain:
        run.font.color.rgb = RGBColor.from_string(ACCENT)
    return run


# ---- lists, tables, pictures


def new_numbering(document: Document, style: str, *, start: int) -> int:
    """A list of this style that begins anew: its id."""
    numbering = document.part.numbering_part.element
    own = document.styles[style].element.pPr.numPr.numId.val
    abstract = next(num for num in numbering.num_lst if num.numId == own).abstractNumId.val
    num = numbering.add_num(abstract)
    num.add_lvlOverride(ilvl=0).add_startOverride(start)
    return int(num.numId)


def number_by(paragraph: Paragraph, numbering: int) -> None:
    properties = paragraph._p.get_or_add_pPr().get_or_add_numPr()
    properties.get_or_add_numId().val = numbering
    properties.get_or_add_ilvl().val = 0


def repeat_first_row(table: Any) -> None:
    """On each page that the table reaches."""
    table.rows[0]._tr.get_or_add_trPr().append(element("w:tblHeader"))


def add_rule(paragraph: Paragraph) -> None:
    borders = element("w:pBdr")
    borders.append(element("w:bottom", val="single", sz="4", space="1", color="BFBFBF"))
    paragraph._p.get_or_add_pPr().append(borders)


def describe(shape: Any, words: str) -> None:
    """The words for those who do not see it."""
    shape._inline.docPr.set("descr", clean(words)[:1_000])


def lower(run: Run, *, points: float) -> None:
    """By half points, as Word counts."""
    run._r.get_or_add_rPr().append(element("w:position", val=str(-round(points * 2))))
