"""What stands behind the question mark of an address."""

from urllib.parse import parse_qs

from webapp.api.errors import bad_request


def parameters(query: bytes) -> dict[str, str]:
    """The query's, each once."""
    asked = parse_qs(query.decode("latin-1"))
    return {name: values[-1].replace("\0", "") for name, values in asked.items()}


def whole_number(asked: dict[str, str], name: str, *, default: int, least: int, most: int) -> int:
    """Raises ApiError 400."""
    if name not in asked:
        return default
    text = asked[name]
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        raise bad_request(f"`{name}` is a whole number from {least} to {most}.", param=name)
    return int(text)
