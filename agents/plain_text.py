"""Text from a model or a tool as every database and every JSON can hold it."""


def clean(text: str) -> str:
    """Without NUL, and with "?" for half a surrogate pair, which some providers let through."""
    text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text
