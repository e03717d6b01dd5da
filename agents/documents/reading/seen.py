"""Pictures and scanned pages: the text that is recognised on them, with its place on the page.

Imports what lies in the sandbox alone: rapidocr, pypdfium2 and Pillow, all of them fed by strangers.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .sections import SECTION_CHARS, Sections, Unreadable

MAX_PIXELS = 40_000_000
MAX_SIDE = 2_400  # larger pictures are made smaller: letters stay legible, and memory bounded
MAX_PAGES = 60
DPI = 170
SURE = 0.6  # lines that are guessed rather than read are left out
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")

_engine: Any = None


@dataclass(frozen=True)
class Line:
    """What was read, how surely, and its box: left, top, right, bottom as parts of the page."""

    text: str
    score: float
    box: tuple[float, float, float, float]


def read_picture(body: bytes, sections: Sections) -> None:
    """Each of its pages: most pictures have one. Raises Unreadable."""
    from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as picture:
            num_pages = min(getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1, MAX_PAGES)
            for number, frame in enumerate(ImageSequence.Iterator(picture)):
                if number == num_pages:
                    break
                place = f"p. {number + 1}" if num_pages > 1 else "picture"
                add_page(_flat(ImageOps.exif_transpose(frame)), sections, place=place)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
        raise Unreadable("bomb") from fault
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as fault:
        raise Unreadable("damaged") from fault


class Scans:
    """The pages of one PDF that are pictures: drawn when they are asked for."""

    def __init__(self, body: bytes, sections: Sections) -> None:
        self._body = body
        self._sections = sections
        self._document: Any = None
        self._num_seen = self._num_unseen = 0

    def add(self, number: int, *, heading: str) -> bool:
        """Whether there was text on the page. Raises Enough."""
        if self._num_seen + self._num_unseen >= MAX_PAGES:
            self._num_unseen += 1
            return False
        try:
            picture = self._drawn(number)
        except Exception:
            # Its library's bugs meet a hostile file here: the page counts as one without text.
            self._num_unseen += 1
            return False
        has_text = add_page(picture, self._sections, place=f"p. {number + 1}", heading=heading)
        self._num_seen += has_text
        return has_text

    def close(self) -> None:
        """Say what was seen, and what was not."""
        if self._num_seen:
            self._sections.note("recognised")
        if self._num_unseen:
            self._sections.note("pages_unseen", num=self._num_unseen)

    def _drawn(self, number: int) -> Any:
        import pypdfium2

        if self._document is None:
            self._document = pypdfium2.PdfDocument(self._body)
        page = self._document[number]
        scale = min(DPI / 72, MAX_SIDE / max(*page.get_size(), 1.0))
        return page.render(scale=scale).to_pil().convert("RGB")


def add_page(picture: Any, sections: Sections, *, place: str, heading: str = "") -> bool:
    """Its text in pieces with their places; whether there was any. Raises Enough."""
    sections.check()
    lines = lines_of(picture)
    for piece in _pieces(lines):
        text = "\n".join(line.text for line in piece)
        sections.add(text, place=f"{place}, {_where(piece)}", heading=heading)
    return bool(lines)


def lines_of(picture: Any) -> list[Line]:
    """In the order of reading, of whichever quarter turn of the picture reads best."""
    lines = _recognised(picture)
    if _lies_on_its_side(lines):
        turned = [_recognised(picture.rotate(angle, expand=True)) for angle in (90, 270)]
        lines = max([lines, *turned], key=lambda found: sum(line.score * len(line.text) for line in found))
    return lines


def _flat(picture: Any) -> Any:
    """On white where it is seen through, and no larger than need be."""
    from PIL import Image

    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        ground.alpha_composite(picture)
        picture = ground
    return picture.convert("RGB")


def _recognised(picture: Any) -> list[Line]:
    import numpy

    width, height = picture.size
    if min(width, height) < 8:
        return []
    found = _reader()(numpy.asarray(picture)[:, :, ::-1])
    if found.boxes is None:
        return []
    lines = []
    for corners, text, score in zip(found.boxes.tolist(), found.txts, found.scores, strict=True):
        across, down = [x / width for x, _ in corners], [y / height for _, y in corners]
        if score >= SURE and text.strip():
            lines.append(Line(text.strip(), score, (min(across), min(down), max(across), max(down))))
    return lines


def _reader() -> Any:
    global _engine
    if _engine is None:
        from rapidocr import RapidOCR

        logging.disable(logging.CRITICAL)
        threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
        _engine = RapidOCR(params={"Global.log_level": "critical", **threads})
    return _engine


def _lies_on_its_side(lines: list[Line]) -> bool:
    """Most of what was found is taller than wide, single letters aside."""
    long = [line.box for line in lines if len(line.text) > 2]
    return sum(bottom - top > right - left for left, top, right, bottom in long) * 2 > len(long) or not lines


def _pieces(lines: list[Line]) -> Iterator[list[Line]]:
    """Lines that stand together, short enough for a passage."""
    piece: list[Line] = []
    for line in lines:
        if piece and (_is_apart(piece[-1], line) or sum(len(one.text) for one in piece) > SECTION_CHARS):
            yield piece
            piece = []
        piece.append(line)
    if piece:
        yield piece


def _is_apart(above: Line, below: Line) -> bool:
    """By more than twice the height of a line."""
    height = max(above.box[3] - above.box[1], below.box[3] - below.box[1])
    return below.box[1] - above.box[3] > 2 * height or below.box[3] < above.box[1] - 2 * height


def _where(piece: list[Line]) -> str:
    """Its box as people would say it: "12-34 % down, 5-60 % across"."""
    lefts, tops, rights, bottoms = zip(*(line.box for line in piece), strict=True)
    down = f"{_percent(min(tops))}-{_percent(max(bottoms))} % down"
    return f"{down}, {_percent(min(lefts))}-{_percent(max(rights))} % across"


def _percent(part: float) -> int:
    return min(100, max(0, round(100 * part)))
