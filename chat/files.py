"""What a turn's calls left besides their results, as files for the person.

What a tool made is a stranger's: only pictures of known kinds are shown, all else is downloaded as it is.
"""

import binascii
from base64 import b64decode
from dataclasses import dataclass

from chat.models import Artifact

ENCODED = ";base64"
PICTURES = {f"image/{kind}{ENCODED}" for kind in ("png", "jpeg", "gif", "webp")}


@dataclass(frozen=True, kw_only=True)
class File:
    content: bytes
    media_type: str
    is_shown: bool


def file_of(artifact: Artifact) -> File:
    if artifact.media_type in PICTURES:
        return File(
            content=_decoded(artifact.text),
            media_type=artifact.media_type.removesuffix(ENCODED),
            is_shown=True,
        )
    if artifact.media_type.endswith(ENCODED):
        return File(content=_decoded(artifact.text), media_type="application/octet-stream", is_shown=False)
    return File(content=artifact.text.encode(), media_type="text/plain; charset=utf-8", is_shown=False)


def _decoded(text: str) -> bytes:
    """Empty for what is not base64."""
    try:
        return b64decode(text)
    except (binascii.Error, ValueError):
        return b""
