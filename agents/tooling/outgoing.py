"""What arguments could carry out of the platform: its secrets, and addresses that a model made up. Pure."""

import base64
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os.path import commonprefix
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

SHORTEST_SECRET = 12
MAX_URL_CHARS = 200
MAX_NEW_BITS = 20.0  # of an address that is made up: four letters that no known address has
MAX_TOLD_BITS = 32.0  # of all of them in a turn: data may also leave in pieces
# What the choice among a site's known addresses tells it weighs less: to read on is what pages are for. Some
# 500 bits of choices are as much as all that made-up addresses may tell: about a hundred pages of one site.
CHOICE_SHARE = 1 / 16

_URL = re.compile(r"(?i)\b(?:[a-z][a-z0-9+.-]{1,20}:)?//[^\s\"'<>\\^`{|}]+")
# An address without a scheme: user and password, a name or a number, a port, and what is asked for there.
_BARE = re.compile(
    r"(?i)\A(?:[^\s/?#@:]+:[^\s/?#@]*@)?"
    r"(?:[\w-]+(?:\.[\w-]+)*\.(?:xn--[a-z0-9-]+|[^\W\d_]{2,})\.?|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\])"
    r"(?::\d+)?(?:[/?#]\S*)?\Z"
)
# Readers of addresses are lenient: one slash or none will do, a backslash is one, line breaks are left out.
_LENIENT = re.compile(r"(?i)\A(https?|wss?|ftp|mailto|data):/?(?=[^/\s])\S+\Z")
_LEFT_OUT = re.compile(r"[\t\r\n]")
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))
_TRAILING = ".,;:!?)]*_"
_WORD = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]+")
_COMMON = frozenset(("html", "htm", "php", "asp", "aspx", "index", "page", "pdf", "txt", "json", "xml"))
_COMMON_BITS = 4.0
_SIGNS = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True)
class Secrets:
    """Values that must not leave: as they are, backwards, in hex or base64, cut into pieces or with signs
    between. Not looked for are those that might be ordinary words: they would be found everywhere."""

    values: tuple[str, ...] = ()

    def are_in(self, arguments: Mapping[str, Any]) -> bool:
        if not self._forms:
            return False
        texts = list(texts_in(arguments))
        # One by one, and all together: a secret that is spread over several arguments is still sent.
        texts.append("".join(_values_in(arguments)))
        return any(form in face for text in texts for face in _faces(text) for form in self._forms)

    @cached_property
    def _forms(self) -> frozenset[str]:
        return frozenset(form for value in self.values if _is_distinct(value) for form in _forms_of(value))

    def __repr__(self) -> str:
        return f"Secrets({len(self.values)})"


def _is_distinct(secret: str) -> bool:
    is_mixed = any(letter.isdigit() for letter in secret) and any(letter.isalpha() for letter in secret)
    return len(secret) >= SHORTEST_SECRET and (is_mixed or len(secret) >= 2 * SHORTEST_SECRET)


def _forms_of(secret: str) -> Iterator[str]:
    raw = secret.encode()
    yield _bare(secret)
    yield _bare(secret[::-1])
    yield raw.hex()
    for offset in range(3):
        # What base64 makes of it wherever it stands in a longer text: without the characters it shares.
        code = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        first = math.ceil(offset * 8 / 6)
        yield _bare(code[first : (offset + len(raw)) * 8 // 6])


def _faces(text: str) -> Iterator[str]:
    yield _bare(text)
    if "%" in text:
        yield _bare(unquote(unquote(text)))


def _bare(text: str) -> str:
    """Letters and digits alone, in lower case: a secret cut into groups is the same secret."""
    return _SIGNS.sub("", text).lower()


def _values_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for member in value.values():
            yield from _values_in(member)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _values_in(item)
    elif value is not None:
        yield str(value)


def texts_in(value: Any) -> Iterator[str]:
    """Every text in the value, names of members among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield str(name)
            yield from texts_in(member)
    elif isinstance(value, Sequence):
        for item in value:
            yield from texts_in(item)
    elif value is not None:
        yield str(value)


# ---- addresses


def urls_in(value: Any) -> Iterator[str]:
    """The addresses in the texts of the value, also those that are a text of their own and that only lenient
    readers take for one."""
    for text in texts_in(value):
        yield from _as_written(text)
        whole = _LEFT_OUT.sub("", text.strip()).replace("\\", "/").translate(_DOTS)
        if _BARE.match(whole):
            yield f"https://{whole}"
        elif scheme := _LENIENT.match(whole):
            yield f"{scheme[1]}://{whole[scheme.end(1) + 1 :].lstrip('/')}"
        elif whole != text:
            yield from _as_written(whole)


def _as_written(text: str) -> Iterator[str]:
    """Signs at the end of an address are sent with it, and may be letters of a message."""
    return (match.group() for match in _URL.finditer(text))


def urls_of(text: str) -> Iterator[str]:
    for match in _URL.finditer(text):
        yield match.group().rstrip(_TRAILING)


def plain(url: str) -> str:
    """The address in one spelling, without its fragment."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        host = f"{parts.hostname or ''}{port}"
    except ValueError:
        return url
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme or 'https'}://{user}{host}{parts.path or '/'}{query}"


def new_bits(url: str, known: frozenset[str], *, opened: frozenset[str] = frozenset()) -> float:
    """How much the address says beyond the known address that it goes on from; without end where no address
    of its host is known, and for one that is odd. Of a known address, what its choice among those of its host
    tells, unless it was `opened` before.

    `known` and `opened` in the spelling of `plain`.
    """
    # A fragment is not sent, but the page that is opened may read it.
    _, mark, fragment = url.partition("#")
    url = plain(url)
    if url in known:
        return _bits(fragment) + (0.0 if url in opened else CHOICE_SHARE * _choice_bits(url, known))
    parts = _split(url)
    if (
        parts is None
        or "@" in parts.netloc
        or len(url) > MAX_URL_CHARS
        or parts.scheme not in ("http", "https")
    ):
        return math.inf
    host = f"{parts.scheme}://{parts.netloc}/"
    told = url + mark + fragment
    shared = [len(commonprefix((told, other))) for other in known if other.startswith(host)]
    return _bits(told[max(shared) :]) if shared else math.inf


def _choice_bits(url: str, known: frozenset[str]) -> float:
    host = "/".join(url.split("/", 3)[:3]) + "/"
    return math.log2(sum(other.startswith(host) for other in known) or 1)


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _bits(text: str) -> float:
    """What the text says at most, as if each of its characters were drawn from all of its kind."""
    return sum(
        _COMMON_BITS if word in _COMMON else len(word) * math.log2(_kind(word))
        for word in _WORD.findall(text)
    )


def _kind(word: str) -> int:
    """Of how many characters those of the word are."""
    if word.isdigit():
        return 10
    if word.isalpha() and word.islower():
        return 26
    return 62 if word.isalnum() else 8
