"""Paths with names in them, like /v1/responses/{id}: which one is meant, and what the names stand for."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from webapp.api.errors import ApiError
from webapp.api.exchange import Exchange

Handler = Callable[..., Awaitable[None]]  # takes the exchange, then what each name stands for
Methods = Mapping[str, Handler]


@dataclass(frozen=True, kw_only=True)
class Found:
    template: str
    methods: Methods
    names: tuple[str, ...]


class Addresses:
    def __init__(self, templates: Mapping[str, Methods]) -> None:
        self.templates = templates
        self._templates = [(_pattern(template), template, ways) for template, ways in templates.items()]

    def find(self, path: str) -> Found | None:
        for pattern, template, methods in self._templates:
            if match := pattern.fullmatch(path):
                names = tuple(map(unquote, match.groups()))
                # PostgreSQL takes no NUL, and nothing is called so.
                if all(name.isprintable() for name in names):
                    return Found(template=template, methods=methods, names=names)
        return None


async def answer(exchange: Exchange, found: Found) -> None:
    """Raises ApiError 405."""
    handler = found.methods.get(exchange.method)
    if handler is None:
        allowed = ", ".join(found.methods)
        raise ApiError(
            405,
            f"{exchange.path} takes {allowed}, not {exchange.method}.",
            code="method_not_allowed",
            headers={"allow": allowed},
        )
    await handler(exchange, *found.names)


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", "([^/]+)", re.escape(template)))
