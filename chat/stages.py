"""Stages: pages of our own in which a frame plays what a model wrote. A stage knows nobody and keeps nothing.

What is played comes to it by a message from the page around it, so nothing hostile ever lies at an address.
Why that is safe, though all of it is hostile:

- A stage has an opaque origin, by its policy and by its frame: no cookies, no storage, no reach into the page
  around it, no windows, forms or downloads, and no way to lead the top window elsewhere.
- It has no network. The stage of pages may load our own libraries and nothing else; the stage of diagrams not
  even those: its two scripts are named by hash, and the large one is handed in.
- Only pages of this site may frame it, and it listens to nobody but the page that frames it.
- The page around it believes nothing it says: of a diagram it takes a picture, which runs nothing, and of a
  page lines of text. It drops the frame of a diagram that takes too long. Chromium gives such frames a
  process of their own, so an endless loop stops the stage alone.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path

from django.conf import settings
from django.utils.html import escape

from chat import previews

DIAGRAM_LIBRARY = "vendor/mermaid-11.17.2/mermaid.js"  # a static file; the page around the stage hands it in

_STATIC: Path = settings.BASE_DIR / "static"


def diagrams() -> bytes:
    """The stage that draws diagrams."""
    return f'<!doctype html><meta charset="utf-8"><body><script>{_script("diagrams")}</script>'.encode()


def diagrams_headers() -> dict[str, str]:
    scripts = (_STATIC / "stage" / "diagrams.js", _STATIC / DIAGRAM_LIBRARY)
    return previews.sealed(
        {
            "sandbox": "allow-scripts",
            "default-src": "'none'",
            "script-src": " ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
            "style-src": "'unsafe-inline'",
            "img-src": "data:",
            "form-action": "'none'",
            "base-uri": "'none'",
            "frame-ancestors": "'self'",
        },
        connections="()",
    )


def pages(*, library: str) -> bytes:
    """The stage that becomes the page it is given; `library` is where that page finds what it may import."""
    given = escape(previews.page(b"", library=library).decode())
    return (
        f'<!doctype html><meta charset="utf-8"><script data-given="{given}">{_script("pages")}</script>'
    ).encode()


def pages_headers(*, library: str) -> dict[str, str]:
    return previews.headers(place="", library=library)


@cache
def _script(name: str) -> str:
    return (_STATIC / "stage" / f"{name}.js").read_text(encoding="utf-8")


@cache
def _sha256(path: Path) -> str:
    return base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
