"""What is asked of the browser's process, and what it tells."""

from typing import Literal

import msgspec


class Ask(msgspec.Struct, frozen=True):
    """Show the page at `url`, which may be fetched and asked for now."""

    url: str
    user_agent: str
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    own_sites: tuple[str, ...] = ()
    total_s: float = 20.0
    settle_s: float = 6.0
    max_bytes: int = 30 * 1024 * 1024
    max_connections: int = 150
    memory_bytes: int = 1024**3


Fault = Literal["", "late", "memory", "broken", "unreachable", "status"]


class Shown(msgspec.Struct, frozen=True):
    """`html` is what a reader would see. `leads_on`: the page sends its reader there, and nothing of it was
    taken. `refused` are the targets that the page wanted and was not let to."""

    html: str = ""
    url: str = ""
    leads_on: str = ""
    fault: Fault = ""
    status: int = 200
    note: str = ""
    num_bytes: int = 0
    refused: list[str] = []
