"""Text on pictures and scanned pages is recognised in the sandbox, with its place; bad ones are refused."""

import io
import re
from collections.abc import Callable, Iterator

import pytest
from PIL import Image

from agents.documents import sight
from agents.documents.extraction import Extracted, SandboxExtractor
from agents.sandbox import tiers
from tests.documents import files, pictures
from tests.environment import SIGHT

Read = Callable[[bytes, str], Extracted]
ENGLISH = [(60, "The bridge was built in 1887."), (130, "It is 164 metres long."), (500, "Toll: 12 pence.")]
CHINESE = [(60, "北京故宫建成于1420年。"), (130, "占地72万平方米。")]

pytestmark = [
    pytest.mark.skipif(sight.installed(SIGHT) is None, reason="manage.py sandbox install-ocr was not run"),
    pytest.mark.skipif(not tiers.active().has_programs, reason="no sandbox on this machine"),
    pytest.mark.skipif(not pictures.FONT.exists(), reason="no font to draw Chinese with (fonts-noto-cjk)"),
]


@pytest.fixture(scope="module")
def read() -> Iterator[Read]:
    extractor = SandboxExtractor(sight=SIGHT)
    yield lambda body, name: extractor.read(io.BytesIO(body), name=name)
    extractor.close()


def text_of(found: Extracted) -> str:
    return "\n".join(part.text for part in found.parts)


def test_a_picture_is_read_in_pieces_with_their_boxes(read: Read) -> None:
    found = read(pictures.encoded(pictures.page([*ENGLISH])), "bridge.png")
    assert [part.text for part in found.parts] == [
        "The bridge was built in 1887.\nIt is 164 metres long.",
        "Toll: 12 pence.",
    ]
    place = re.fullmatch(r"picture, (\d+)-(\d+) % down, (\d+)-(\d+) % across", found.parts[1].place)
    assert place is not None, found.parts[1].place
    top, bottom, left, right = map(int, place.groups())
    assert (69 <= top < 76, 74 < bottom <= 80, 3 <= left <= 7, 20 < right < 45) == (True,) * 4
    assert {"kind": "recognised", "in": ""} in found.notes


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_picture_on_its_side_or_its_head_is_read(read: Read, angle: int) -> None:
    turned = pictures.page([*ENGLISH]).rotate(angle, expand=True)
    assert "built in 1887" in text_of(read(pictures.encoded(turned, "JPEG"), "turned.jpg"))


def test_chinese_and_a_bad_copy_are_read(read: Read) -> None:
    found = read(pictures.encoded(pictures.page([*CHINESE]), "WEBP"), "palace.webp")
    assert "北京故宫建成于1420年" in text_of(found)
    assert "72万平方米" in text_of(found)
    assert "164" in text_of(read(pictures.encoded(pictures.noisy(pictures.page([*ENGLISH]))), "copy.png"))


def test_a_picture_lies_as_its_camera_says_and_is_seen_through_on_white(read: Read) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = pictures.page([*ENGLISH]).rotate(90, expand=True)
    assert "1887" in text_of(read(pictures.encoded(turned, "JPEG", exif=exif), "camera.jpg"))
    letters = pictures.page([*ENGLISH]).convert("L").point(lambda level: 255 - level)
    clear = Image.new("RGBA", letters.size, (0, 0, 0, 0))
    clear.putalpha(letters)
    assert "1887" in text_of(read(pictures.encoded(clear), "clear.png"))


def test_scanned_pages_are_read_between_those_with_text_and_cited_by_page(read: Read) -> None:
    scan = pictures.scanned([pictures.page([*ENGLISH]), pictures.page([*CHINESE])])
    found = read(scan, "scan.pdf")
    assert [part.place.partition(",")[0] for part in found.parts] == ["p. 1", "p. 1", "p. 2"]
    assert "北京" in found.parts[2].text
    fax = pictures.encoded(
        pictures.page([*ENGLISH]).convert("1"), "TIFF", save_all=True,
        append_images=[pictures.page([*CHINESE]).convert("1")], compression="group4",
    )  # fmt: skip
    assert [part.place.partition(",")[0] for part in read(fax, "fax.tif").parts] == ["p. 1", "p. 1", "p. 2"]


def test_what_is_no_picture_to_read_is_refused_for_a_reason(read: Read) -> None:
    whole = pictures.encoded(pictures.page([*ENGLISH]))
    assert read(whole[: len(whole) // 2], "half.png").fault == "damaged"
    assert read(b"\x89PNG\r\n\x1a\n" + bytes(50), "a.png").fault == "damaged"
    bomb = pictures.encoded(Image.new("1", (30_000, 30_000)))
    assert len(bomb) < 500_000
    assert read(bomb, "bomb.png").fault == "bomb"
    assert read(pictures.encoded(Image.new("RGB", (600, 400), "white")), "white.png").fault == "no_text"
    assert read(pictures.encoded(Image.new("RGB", (1, 1))), "dot.gif").fault == "no_text"
    assert read(files.pdf_of_pictures(), "blank.pdf").fault in ("pictures", "damaged")
