"""One endpoint as it is described. Knows no endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

OPENAI: Literal["openai"] = "openai"
ANTHROPIC: Literal["anthropic"] = "anthropic"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One of the query, unless it is said to be a header."""

    name: str
    text: str
    schema: Mapping[str, Any]
    place: Literal["query", "header"] = "query"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """`body` and `answer` are types. `streams` is what each event of an answer holds that comes as a "
    "stream, which
    is all there is where there is no `answer`. `refuses` are the statuses of refusals beside those of
    every endpoint. `makes` names the operations that take the `id` of what this one answers. `example` is
    a folder of webapp/api/examples."""

    id: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    section: str
    summary: str
    text: str = ""
    body: Any = None
    is_body_optional: bool = False
    body_example: Any = None
    parameters: tuple[Parameter, ...] = ()
    answer: Any = None
    status: int = 200
    media: tuple[str, ...] = ("application/json",)
    streams: Any = None
    refuses: tuple[int, ...] = ()
    dialect: Literal["openai", "anthropic"] = OPENAI
    makes: tuple[str, ...] = ()
    example: str = ""
    is_open: bool = False  # needs no key


def whole_number(name: str, text: str, *, least: int, most: int, default: int) -> Parameter:
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return Parameter(name=name, text=text, schema=schema)


def word(name: str, text: str, *choices: str) -> Parameter:
    schema: dict[str, Any] = {"type": "string"}
    return Parameter(name=name, text=text, schema=schema | ({"enum": list(choices)} if choices else {}))


IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    text="Makes a resend harmless for 24 hours: the same body is answered with the same bytes and billed "
    "once, another "
    "body is refused with 422.",
    schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    place="header",
)
DRY_RUN = Parameter(
    name="x-dry-run",
    text="With `true` nothing is done: the answer is a quote.",
    schema={"type": "string"},
    place="header",
)
