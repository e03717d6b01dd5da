"""What a turn made, run or shown in a frame that can reach nothing: whose files an address may read, the
policy they are served under, and what a page among them is given so that it works without a network.

The files are hostile. A frame has an opaque origin, so no cookie tells whose it is: its address does, sealed.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.contrib.auth import SESSION_KEY

from chat.models import Conversation
from chat.workspaces import WorkFile

TOKEN_LASTS_S = 3600
MAX_BYTES = 16 * 2**20
LIBRARIES = settings.BASE_DIR / "static" / "vendor" / "preview"
INSIDE = settings.BASE_DIR / "static" / "preview" / "inside.js"

# What a frame may do; its element says the same. No dialogs, no forms, no windows, no downloads.
FRAME_MAY = "allow-scripts allow-pointer-lock"

# By ending, never by what a file says of itself. What is not listed is downloaded.
MEDIA_TYPES = {
    **dict.fromkeys((".html", ".htm"), "text/html; charset=utf-8"),
    ".svg": "image/svg+xml",
    ".css": "text/css; charset=utf-8",
    **dict.fromkeys((".js", ".mjs"), "text/javascript; charset=utf-8"),
    **dict.fromkeys((".json", ".map", ".gltf"), "application/json"),
    ".png": "image/png",
    **dict.fromkeys((".jpg", ".jpeg"), "image/jpeg"),
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".woff": "font/woff",
    ".ttf": "font/ttf",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".wasm": "application/wasm",
}
PLAIN = "application/octet-stream"
PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp"}
PAGES = {".html", ".htm", ".svg"}
TEXTS = {".md": "markdown", ".markdown": "markdown", ".csv": "table", ".tsv": "table"}

_HEAD = re.compile(rb"<head(?:\s[^>]{0,2000})?>", re.IGNORECASE)
_HTML = re.compile(rb"<html(?:\s[^>]{0,2000})?>", re.IGNORECASE)
_DOCTYPE = re.compile(rb"\s*<!doctype[^>]{0,2000}>", re.IGNORECASE)
_SEARCHED = 100_000  # bytes at the start of a page in which its head is looked for


class Refused(Exception):
    """The address names no files that may be read: made up, too old, or its conversation is gone."""


def kind_of(path: str) -> str:
    """How a file is shown: page, picture, markdown, table, or source."""
    ending = PurePosixPath(path).suffix.lower()
    if ending in PAGES:
        return "page"
    if ending in PICTURES:
        return "picture"
    return TEXTS.get(ending, "source")


def media_type_of(path: str) -> str:
    return MEDIA_TYPES.get(PurePosixPath(path).suffix.lower(), PLAIN)


def version_of(files: Iterable[WorkFile]) -> str:
    """Changes whenever one of the files does."""
    state = "\n".join(f"{file.path} {file.num_bytes} {file.changed_at.isoformat()}" for file in files)
    return hashlib.sha256(state.encode()).hexdigest()[:16]


# ---- whose files


def token(conversation: Conversation, *, session_key: str | None) -> str:
    """A word for addresses: it lets whoever holds it read the conversation's files for an hour, as long as
    the person who asked for it stays signed in. Sealed, not only signed: a page can read its own address."""
    return _seal().encrypt(f"{conversation.id.hex}.{session_key or ''}".encode()).decode().rstrip("=")


def conversation_of(word: str) -> Conversation:
    """Raises Refused."""
    try:
        said = _seal().decrypt(f"{word}{'=' * (-len(word) % 4)}", ttl=TOKEN_LASTS_S).decode()
        conversation_id, _, session_key = said.partition(".")
    except (InvalidToken, ValueError):
        raise Refused(word) from None
    found = Conversation.objects.filter(id=UUID(conversation_id), user__is_active=True).first()
    if found is None or not _is_signed_in(found.user_id, session_key):
        raise Refused(word)
    return found


def _is_signed_in(user_id: object, session_key: str) -> bool:
    sessions = import_module(settings.SESSION_ENGINE)
    signed_in = sessions.SessionStore(session_key or None).load().get(SESSION_KEY) if session_key else None
    return signed_in == str(user_id)


@cache
def _seal() -> Fernet:
    key = hashlib.sha256(f"chat.previews {settings.SECRET_KEY}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))


# ---- under which policy


def headers(*, place: str, library: str) -> dict[str, str]:
    """What every answer to a frame carries. `place` and `library` are the only sources it may load from, with
    host and path, each ending in a slash.

    The Connection-Allowlist closes what no Content-Security-Policy speaks of: WebRTC, and names looked up or
    connections opened ahead of a navigation that is refused later.
    """
    own = f"{place} {library}"
    policy = {
        "sandbox": FRAME_MAY,
        "default-src": "'none'",
        "script-src": f"'unsafe-inline' 'unsafe-eval' blob: {own}",
        "style-src": f"'unsafe-inline' {own}",
        "img-src": f"data: blob: {place}",
        "font-src": f"data: {place}",
        "media-src": f"data: blob: {place}",
        "worker-src": "blob:",
        "connect-src": "'none'",
        "frame-src": "'none'",
        "object-src": "'none'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'self'",
    }
    return sealed(policy, connections="(response-origin)")


def sealed(policy: dict[str, str], *, connections: str) -> dict[str, str]:
    """The headers of an answer to a frame without an origin, under this policy."""
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Connection-Allowlist": connections,
        "X-DNS-Prefetch-Control": "off",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), display-capture=(), usb=(), midi=()",
        "Access-Control-Allow-Origin": "*",  # modules of an opaque origin ask across origins
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


# ---- what a page is given


@dataclass(frozen=True, kw_only=True)
class Library:
    content: bytes
    media_type: str


def page(content: bytes, *, library: str) -> bytes:
    """The page with two things before its own scripts: names of libraries that it may import, found under
    `library`, and a script that tells the panel of its errors."""
    names = {name: library + file for name, file in _names().items()}
    imports = f'<script type="importmap">{json.dumps({"imports": names})}</script>'
    given = f'{imports}<script src="{library}inside.js"></script>'.encode()
    start = content[:_SEARCHED]
    found = _HEAD.search(start) or _HTML.search(start) or _DOCTYPE.match(start)
    at = found.end() if found else 0
    return content[:at] + given + content[at:]


def library(name: str) -> Library:
    """A file that pages may import. Raises KeyError for any other name."""
    return Library(content=_library_files()[name].read_bytes(), media_type=MEDIA_TYPES[".js"])


@cache
def _names() -> dict[str, str]:
    names: dict[str, str] = json.loads((LIBRARIES / "names.json").read_text(encoding="utf-8"))
    return names


@cache
def _library_files() -> dict[str, Path]:
    files = {path.relative_to(LIBRARIES).as_posix(): path for path in LIBRARIES.rglob("*.js")}
    return {**files, "inside.js": INSIDE}
