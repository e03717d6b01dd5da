"""A conversation's branch as a file: Markdown to read, JSON to import again (chat.snapshots)."""

import re
import unicodedata

import msgspec

from chat.snapshots import Exchange, Snapshot


def as_json(snapshot: Snapshot) -> bytes:
    return msgspec.json.format(msgspec.json.encode(snapshot), indent=1)


def read(content: bytes) -> Snapshot:
    """What `as_json` wrote. Raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(content, type=Snapshot)


def as_markdown(snapshot: Snapshot) -> bytes:
    title = " ".join(snapshot.title.split()) or "Chat"
    pieces = [f"# {title}", *(_exchange(one) for one in snapshot.exchanges)]
    return ("\n\n".join(pieces) + "\n").encode("utf-8", "replace")


def file_name(snapshot: Snapshot, ending: str) -> str:
    """The title in letters, figures and hyphens that every system takes."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", snapshot.title))
    return f"{'-'.join(words)[:60] or 'chat'}.{ending}"


def _exchange(exchange: Exchange) -> str:
    asked = "\n".join(f"> {line}".rstrip() for line in exchange.question.splitlines())
    pieces = [asked, f"**{exchange.model}**, {exchange.asked_at:%Y-%m-%d %H:%M} UTC"]
    if exchange.reasoning:
        thought = exchange.reasoning.replace("</details>", "&lt;/details>")
        pieces.append(f"<details><summary>Reasoning</summary>\n\n{thought}\n\n</details>")
    pieces.append(exchange.answer)
    if exchange.sources:
        lines = (
            f"- [{one.number}] {' '.join(one.title.split())} <{one.address}>" for one in exchange.sources
        )
        pieces.append("\n".join(lines))
    return "\n\n".join(pieces)
