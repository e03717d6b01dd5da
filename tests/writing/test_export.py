"""What is exported says what was written: Word and PDF are read back. Nothing hostile gets in or out."""

import io
import json
import socket
import zipfile
from contextlib import suppress
from ctypes.util import find_library

import pytest
from docx import Document
from PIL import Image
from pypdf import PdfReader

from agents import citations
from agents.writing import manuscript
from agents.writing.press import Press, PressFailed
from agents.writing.work import Chapter, Work
from tests.writing.study import LAKE, TOWN, Study, passage

pytestmark = pytest.mark.skipif(find_library("pangoft2-1.0") is None, reason="no Pango to make PDF with")

TEXT = """\
Lake Orsa is **94 m** deep [1]. 湖深九十四米。

## Method

1. measured
2. compared with `sonar`

> as the survey says

| Lake | Depth |
| --- | ---: |
| Orsa | 94 |

With $a^2 + b^2 = c^2$ and $$\\frac{1}{2}$$ it holds.

```python
depth = 94
```

See [the survey](https://example.org/survey?a=1&b=2).
"""


def pdf_text(content: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages).split())


def docx_text(content: bytes) -> str:
    return " ".join("".join(Document(io.BytesIO(content)).element.body.itertext()).split())


async def exported(study: Study, text: str = TEXT) -> str:
    await study.document("outline", title="Orsa <i>", sections=[{"id": "a", "title": "The lake & more"}])
    written = await study.document("write", section="a", text=text)
    assert not written.is_error, written.for_model
    result = await study.document("export")
    assert not result.is_error, result.for_model
    return result.for_model


async def test_text_marks_and_sources_are_in_every_file(study: Study) -> None:
    await exported(study)
    files = {kind: study.read(f"documents/report.{kind}") for kind in ("md", "docx", "pdf")}
    for words in (pdf_text(files["pdf"]), docx_text(files["docx"]), files["md"].decode()):
        for said in (
            "Orsa <i>",
            "The lake & more",
            "[1]",
            "湖深九十四米",
            "sonar",
            "depth = 94",
            "https://example.org/1",
        ):
            assert said in words
        assert "Read on 2026-01-02." in words
    assert "http://" not in pdf_text(files["pdf"])


async def test_word_has_headings_lists_tables_links_code_and_contents(study: Study) -> None:
    sections = [{"id": f"s{number}", "title": f"Part {number}"} for number in range(4)]
    await study.document("outline", title="Orsa", sections=sections)
    for section in sections:
        await study.document("write", section=section["id"], text=TEXT)
    await study.document("export", formats=["docx"])
    document = Document(io.BytesIO(study.read("documents/report.docx")))
    styles = [paragraph.style.name for paragraph in document.paragraphs if paragraph.style]
    assert styles.count("Heading 1") == 5
    assert styles.count("Heading 2") == 4
    assert {"Title", "List Number", "Quote", "Code", "Contents", "Source"} <= set(styles)
    assert [cell.text for cell in document.tables[0].rows[1].cells] == ["Orsa", "94"]
    xml = document.element.xml
    assert 'TOC \\o "1-3"' in xml
    assert xml.count('w:anchor="source_1"') == 4
    links = {rel.target_ref for rel in document.part.rels.values() if rel.is_external}
    assert links == {"https://example.org/survey?a=1&b=2", "https://example.org/1"}
    assert len(document.inline_shapes) == 8  # formulas


async def test_each_ordered_list_begins_at_one_again(study: Study) -> None:
    await exported(study, "1. a\n2. b\n\nText.\n\n1. c\n2. d")
    xml = Document(io.BytesIO(study.read("documents/report.docx"))).part.numbering_part.element.xml
    assert xml.count("w:startOverride") == 2


async def test_passages_of_one_source_share_its_number(study: Study) -> None:
    study.turns["one"].append(passage(3, "Orsa lies in the north.", source="https://example.org/1"))
    said = await exported(study, "Deep [1]. North [3]. A town [2]. All of it [1, 3].")
    assert "3 passages of 2 sources" in said
    text = study.read("documents/report.md").decode()
    assert "Deep [1]. North [1]. A town [2]. All of it [1]." in text
    told = json.loads(study.read("documents/report.sources.json"))["passages"]
    assert [entry["number"] for entry in told] == [1, 1, 2]
    assert {entry["text"] for entry in told} == {LAKE, TOWN, "Orsa lies in the north."}
    assert all(citations.fingerprint(entry["text"]) == entry["sha256"] for entry in told)


async def test_a_sentence_that_nothing_bears_out_is_marked_in_every_file(study: Study) -> None:
    said = await exported(study, "Lake Orsa is 49 m deep [1]. Its area is 1,250 km2 [1].")
    assert "marked there: a (1)" in said
    for words in (
        pdf_text(study.read("documents/report.pdf")),
        docx_text(study.read("documents/report.docx")),
        study.read("documents/report.md").decode().replace("*", ""),
    ):
        assert "deep [1]. [unverified] Its area is 1,250 km2 [1]." in words


async def test_a_source_that_is_not_kept_any_more_is_said_to_be_lost(study: Study) -> None:
    await exported(study)
    study.turns["one"].clear()
    result = await study.document("export", formats=["md"])
    assert "1 cited passages are not kept any more" in result.for_model
    assert "What was read of it is not kept." in study.read("documents/report.md").decode()


async def test_exporting_again_makes_the_same_files(study: Study) -> None:
    await exported(study)
    kinds = ("md", "docx", "pdf", "sources.json")
    before = [study.read(f"documents/report.{kind}") for kind in kinds]
    await study.document("export")
    assert [study.read(f"documents/report.{kind}") for kind in kinds] == before


async def test_figures_and_tables_of_the_folder_are_numbered_and_shown(study: Study) -> None:
    columns = {"Lake": ["Orsa"], "Depth": [94]}
    await study.chart(kind="bar", title="Depths", columns=columns)
    await study.table(title="Lakes", columns=columns)
    await exported(study, "![Depths](figures/depths.png) Source: [1].\n\n![Lakes](tables/lakes.md)")
    for words in (
        pdf_text(study.read("documents/report.pdf")),
        docx_text(study.read("documents/report.docx")),
        study.read("documents/report.md").decode().replace("*", ""),
    ):
        assert "Figure 1. Depths Source: [1]." in words
        assert "Table 1. Lakes" in words
    with zipfile.ZipFile(io.BytesIO(study.read("documents/report.docx"))) as packed:
        assert [name for name in packed.namelist() if name.startswith("word/media")]
    assert len(list(PdfReader(io.BytesIO(study.read("documents/report.pdf"))).pages[0].images)) >= 1


async def test_a_figure_that_has_gone_is_named(study: Study) -> None:
    await study.chart(kind="bar", title="Depths", columns={"Lake": ["Orsa"], "Depth": [94]})
    await study.document("outline", title="T", sections=[{"id": "a", "title": "A"}])
    await study.document("write", section="a", text="![Depths](figures/depths.png)")
    study.workspace.folder.remove("figures/depths.png")
    result = await study.document("export")
    assert result.is_error
    assert "a: " in result.for_model
    assert "figures/depths.png" in result.for_model


def work(text: str, **more: bytes) -> Work:
    pictures = {f"figures/{name}.png": content for name, content in more.items()}
    chapter = Chapter(id="a", title="A", level=1, text=text)
    return Work(title="T", made_on="2026-01-01", chapters=(chapter,), pictures=pictures)


@pytest.mark.parametrize("kind", ["pdf", "docx"])
async def test_hostile_text_is_printed_as_text_and_reaches_nothing(press: Press, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        text = (
            f'<img src="{address}/a"> ![x]({address}/b.png) <style>@import "{address}/c"</style>\n\n'
            f"<link rel=stylesheet href={address}/d> ![f](file:///etc/passwd) <script>alert(1)</script>\n\n"
            "[j](javascript:alert(1)) \x0b\x00\ufffe $\\input{/etc/passwd}$ &#x3C;b&#x3E;"
        )
        made = await press.file(work(text), kind=kind)  # type: ignore[arg-type]
        with pytest.raises(BlockingIOError):
            listener.accept()
    words = pdf_text(made) if kind == "pdf" else docx_text(made)
    assert "<script>alert(1)</script>" in words
    assert "root:" not in words


@pytest.mark.parametrize("kind", ["pdf", "docx"])
async def test_a_file_that_is_no_picture_is_named(press: Press, kind: str) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    with pytest.raises(PressFailed, match=r"figures/a.png cannot be shown: it is no whole PNG"):
        await press.file(work("![x](figures/a.png)", a=svg), kind=kind)  # type: ignore[arg-type]


async def test_a_picture_that_unfolds_to_gigabytes_is_refused(press: Press) -> None:
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    with pytest.raises(PressFailed, match="cannot be shown"):
        await press.file(work("![x](figures/a.png)", a=bomb.getvalue()), kind="docx")


async def test_what_takes_too_long_ends_its_process_alone() -> None:
    endless = "\n\n".join(
        f"| {'a | ' * 200}\n|{'-|' * 201}\n" + f"| {'b | ' * 200}\n" * 200 for _ in range(40)
    )
    press = Press(time_s=5.0)
    try:
        with pytest.raises(PressFailed, match="more than 5 seconds"):
            await press.file(work(endless), kind="pdf")
        assert (await printed(press)).startswith(b"PK")
    finally:
        press.close()


async def test_what_takes_too_much_memory_is_not_printed() -> None:
    picture = io.BytesIO()
    Image.new("RGB", (6_300, 6_300)).save(picture, "PNG")
    press = Press(memory_bytes=400 * 2**20)
    try:
        with pytest.raises(PressFailed, match="too much memory"):
            await press.file(work("![x](figures/a.png)", a=picture.getvalue()), kind="docx")
        assert (await printed(press)).startswith(b"PK")
    finally:
        press.close()


async def printed(press: Press) -> bytes:
    """A short text, however slow the machine is to start another process."""
    for _ in range(30):
        with suppress(PressFailed):
            return await press.file(work("Short."), kind="docx")
    raise AssertionError("nothing is printed any more")


def test_words_are_counted_in_every_script() -> None:
    assert manuscript.num_words("Two words 两个词 [^0123456789ab]") == 5
