"""Text from a model or a tool as every database, every JSON and every chat template can hold it."""

import re

_TEMPLATE_MARK = re.compile(r"<\|([^|<>\n]{0,64})\|>")
_TAG_MARK = re.compile(r"<(/?)(think|tool_call|tool_response|tool_calls_section)>", re.IGNORECASE)
_PLATFORM_MARK = re.compile(r"^([^\S\n]*)\[Platform\]", re.IGNORECASE | re.MULTILINE)


def clean(text: str) -> str:
    """Without NUL, and with "?" for half a surrogate pair, which some providers let through."""
    text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def neutral(text: str) -> str:
    """A stranger's text without what a chat template, or a reader of the platform's notes, could take for a
    mark."""
    text = _TEMPLATE_MARK.sub("<\u00a6\\1\u00a6>", text)
    text = _TAG_MARK.sub(r"<\1 \2>", text)
    return _PLATFORM_MARK.sub(r"\1(Platform)", text)
