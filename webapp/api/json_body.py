"""A JSON body as a checked struct; what is wrong with it is told by the field's name."""

import re
from typing import TypeVar

import msgspec

from webapp.api.errors import bad_request

Body = TypeVar("Body")

# PostgreSQL stores no NUL; behind an odd number of backslashes it is one, behind an even number it is text.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def read(content: bytes, decoder: msgspec.json.Decoder[Body]) -> Body:
    """Raises ApiError 400 that names the field."""
    if b"\\u0000" in content:
        content = _NUL.sub(rb"\1\\ufffd", content)
    try:
        return decoder.decode(content)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `")
        param = _field(path)
        raise bad_request(f"{problem}{f' at {param}' if param else ''}.", param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"The body is not valid JSON: {error}.") from None
    except RecursionError:
        raise bad_request("The body's JSON is nested too deeply.") from None


def _field(path: str) -> str | None:
    """The field that msgspec means: `$.a.b[...]` is `a.b`, and so is `key` in `$.a.b`."""
    return path.rpartition("$")[2].strip("`.").removesuffix("[...]") or None
