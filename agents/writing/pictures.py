"""Pictures of the work folder made safe to print: read by Pillow and written anew. For the press alone."""

import io

MAX_PIXELS = 40_000_000
MAX_SIDE = 4_000
_READ = ("PNG", "JPEG", "GIF", "WEBP")


class NoPicture(Exception):
    """The file is no picture that can be shown; the text says why."""


def fresh(content: bytes, *, name: str) -> bytes:
    """The picture as a PNG, or a JPEG where it was one, with nothing else in it. Raises NoPicture."""
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with Image.open(io.BytesIO(content), formats=_READ) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise NoPicture(f"{name} cannot be shown: it has more than {MAX_PIXELS} dots.")
            kind = "JPEG" if picture.format == "JPEG" else "PNG"
            shown: Image.Image = picture.convert("RGB" if kind == "JPEG" else "RGBA")
        shown.thumbnail((MAX_SIDE, MAX_SIDE))
        out = io.BytesIO()
        shown.save(out, kind, quality=90)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as fault:
        raise NoPicture(f"{name} cannot be shown: it is no whole PNG, JPEG, GIF or WebP.") from fault
    return out.getvalue()
