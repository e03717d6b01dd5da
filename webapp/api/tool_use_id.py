"""A tool call's id in Anthropic's shape, and back: models write `functions.name:0`, which clients of that API
refuse for its characters, and which is no call's alone. Nothing is kept: the id holds what the model wrote.
"""

import base64
import binascii
import re

_OURS = re.compile(r"toolu_[0-9a-f]{12}_([A-Za-z0-9_-]+)")


def written(call_id: str, *, request_id: str) -> str:
    """The id for the client: one of its own for each request. `request_id` ends in hex digits."""
    coded = base64.urlsafe_b64encode(call_id.encode()).decode().rstrip("=")
    return f"toolu_{request_id[-12:]}_{coded}"


def read(tool_use_id: str) -> str:
    """What the model wrote; an id that is not ours stays as it is."""
    if not (match := _OURS.fullmatch(tool_use_id)):
        return tool_use_id
    coded = match[1]
    try:
        return base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode() or tool_use_id
    except (binascii.Error, UnicodeDecodeError):
        return tool_use_id
