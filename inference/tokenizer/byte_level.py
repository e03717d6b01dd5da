"""GPT-2's way of writing bytes as characters, in which byte-level vocabularies are stored."""

from collections.abc import Iterable


def _alphabet() -> Iterable[tuple[str, int]]:
    """Each byte as itself where printable, else as the next free character from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    yield from ((chr(byte), byte) for byte in printable)
    yield from ((chr(256 + place), byte) for place, byte in enumerate(others))


BYTES = dict(_alphabet())


def to_bytes(token: str) -> bytes:
    """Raises KeyError for a character that stands for no byte."""
    return bytes(BYTES[character] for character in token)
