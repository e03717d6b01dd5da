"""What goes to a page of results that are long: their two ends, as stored ones are drawn (`chat.outlines`).
The log keeps them whole, for programs; a page asks for the rest when somebody wants to see it."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from chat.frames import ToolCallFinished, TurnSnapshot
from chat.outlines import END_CHARS, MOST_RESULT_CHARS, START_CHARS

_RESULT = ToolCallFinished.__struct_config__.tag
_SNAPSHOT = TurnSnapshot.__struct_config__.tag


def shortened(entries: Iterable[bytes]) -> Iterator[bytes]:
    """The same events of a log, as JSON. A result of more than MOST_RESULT_CHARS is told by its beginning and
    its end, with `num_chars`, how long it is; those within a snapshot too."""
    for entry in entries:
        if len(entry) <= MOST_RESULT_CHARS:
            yield entry
            continue
        event = msgspec.json.decode(entry)
        inner = event["events"] if event["type"] == _SNAPSHOT else [event]
        is_shorter = [_shorten(one) for one in inner]
        yield msgspec.json.encode(event) if any(is_shorter) else entry


def _shorten(event: dict[str, Any]) -> bool:
    if event["type"] != _RESULT or len(event["result"]) <= MOST_RESULT_CHARS:
        return False
    result = event["result"]
    event["num_chars"] = len(result)
    event["result"] = f"{result[:START_CHARS]}\n…\n{result[-END_CHARS:]}"
    return True
