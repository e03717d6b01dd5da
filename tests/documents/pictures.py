"""Pictures to recognise text on, drawn here."""

import io
import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONT = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")


def page(lines: Sequence[tuple[int, str]], *, size: tuple[int, int] = (1_000, 700)) -> Image.Image:
    """Black on white, each line at its height."""
    font = ImageFont.truetype(str(FONT), 34)
    picture = Image.new("RGB", size, "white")
    drawing = ImageDraw.Draw(picture)
    for height, text in lines:
        drawing.text((50, height), text, font=font, fill="black")
    return picture


def noisy(picture: Image.Image) -> Image.Image:
    """As from a bad copier: specks, a slant and a blur."""
    chance = random.Random(7)
    drawing = ImageDraw.Draw(picture)
    for _ in range(2_500):
        at = chance.randrange(picture.width), chance.randrange(picture.height)
        drawing.point(at, fill=(chance.randrange(160),) * 3)
    return picture.rotate(1.5, fillcolor="white").filter(ImageFilter.GaussianBlur(0.8))


def encoded(picture: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    body = io.BytesIO()
    picture.save(body, kind, **more)
    return body.getvalue()


def scanned(pages: Sequence[Image.Image]) -> bytes:
    """A PDF whose pages are pictures."""
    return encoded(pages[0], "PDF", save_all=True, append_images=list(pages[1:]))
