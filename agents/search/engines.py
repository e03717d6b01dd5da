"""Search engines of others over HTTP: what each is asked, and where in its answer the results are."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from agents import url_guard
from agents.search.provider import Found, Query, SearchFailed

TIMEOUT_S = 15.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_TEXT_CHARS = 2_000


@dataclass(frozen=True, kw_only=True)
class Request:
    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Engine:
    """`request` makes a query into a request under a base URL and a key; `results` finds the results' objects
    in the answer; `fields` are the names of a result's address, title, texts and date."""

    name: str
    base_url: str
    request: Callable[[str, str, Query], Request]
    results: Callable[[Any], Any]
    address: str
    title: str
    texts: tuple[str, ...]
    dated: tuple[str, ...]


class WebSearch:
    """An engine with a key. A server of one's own (`is_private`) may be on a private network."""

    def __init__(
        self,
        engine: Engine,
        *,
        key: str = "",
        base_url: str = "",
        is_private: bool = False,
        price_nano: int = 0,
        resolve: url_guard.Resolve | None = None,
    ) -> None:
        self.name = engine.name
        self.version = "1"
        self.price_nano = price_nano
        self._engine = engine
        self._key = key
        self._base_url = (base_url or engine.base_url).rstrip("/")
        hosts = frozenset({url_guard.origin_of(self._base_url)}) if is_private else frozenset()
        self._rules = url_guard.Rules(private_hosts=hosts, max_response_bytes=MAX_ANSWER_BYTES)
        self._resolve = resolve

    async def search(self, query: Query) -> Sequence[Found]:
        answer = await self._answer(self._engine.request(self._base_url, self._key, query))
        try:
            results = self._engine.results(answer) or []
            return [self._found(result) for result in results if result.get(self._engine.address)][
                : query.limit
            ]
        except (KeyError, TypeError, AttributeError) as fault:
            raise SearchFailed(f"{self.name} answered in a shape that is not known.") from fault

    async def _answer(self, request: Request) -> Any:
        client = url_guard.client(
            self._rules, resolve=self._resolve, timeout=TIMEOUT_S, follow_redirects=False
        )
        try:
            async with client:
                response = await client.request(
                    request.method,
                    request.url,
                    headers={"accept": "application/json", **request.headers},
                    params=dict(request.parameters) or None,
                    json=request.body,
                )
        except httpx2.TimeoutException:
            raise SearchFailed(f"{self.name} did not answer in time.") from None
        except httpx2.HTTPError as fault:
            raise SearchFailed(f"{self.name} cannot be reached: {type(fault).__name__}.") from fault
        if response.status_code != 200:
            raise SearchFailed(f"{self.name} {_why(response.status_code)}.")
        try:
            return response.json()
        except json.JSONDecodeError:
            raise SearchFailed(f"{self.name} answered with something that is no JSON.") from None

    def _found(self, result: Mapping[str, Any]) -> Found:
        engine = self._engine
        texts = (_text(result.get(name)) for name in engine.texts)
        return Found(
            source=str(result[engine.address]),
            title=_text(result.get(engine.title)),
            text="\n".join(dict.fromkeys(text for text in texts if text))[:MAX_TEXT_CHARS],
            fetched_at=datetime.now(UTC),
            dated=next((_text(result[name]) for name in engine.dated if result.get(name)), ""),
        )


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(str(part) for part in value)
    return "" if value is None else str(value).strip()


def _why(status: int) -> str:
    reasons = {
        401: "refused the key: correct it in the settings",
        402: "wants to be paid: its quota is used up",
        403: "refused the request (a SearXNG needs json in its search.formats; others refuse the key)",
        429: "wants fewer requests: try again later",
    }
    return reasons.get(status, f"answered with status {status}")


def _with_site(query: Query) -> str:
    return f"{query.text} site:{query.site}" if query.site else query.text


def _searxng(base: str, key: str, query: Query) -> Request:
    return Request(url=f"{base}/search", parameters={"q": _with_site(query), "format": "json"})


def _brave(base: str, key: str, query: Query) -> Request:
    parameters: dict[str, str | int] = {
        "q": _with_site(query),
        "count": min(query.limit, 20),
        "text_decorations": "false",
    }
    headers = {"x-subscription-token": key}
    return Request(url=f"{base}/res/v1/web/search", headers=headers, parameters=parameters)


def _tavily(base: str, key: str, query: Query) -> Request:
    body: dict[str, Any] = {"query": query.text, "max_results": query.limit}
    if query.site:
        body["include_domains"] = [query.site]
    headers = {"authorization": f"Bearer {key}"}
    return Request(url=f"{base}/search", method="POST", headers=headers, body=body)


def _serper(base: str, key: str, query: Query) -> Request:
    body = {"q": _with_site(query), "num": query.limit}
    return Request(url=f"{base}/search", method="POST", headers={"x-api-key": key}, body=body)


def _exa(base: str, key: str, query: Query) -> Request:
    contents = {"text": {"maxCharacters": MAX_TEXT_CHARS}}
    body: dict[str, Any] = {"query": query.text, "numResults": query.limit, "contents": contents}
    if query.site:
        body["includeDomains"] = [query.site]
    return Request(url=f"{base}/search", method="POST", headers={"x-api-key": key}, body=body)


SEARXNG = Engine(
    name="SearXNG",
    base_url="",
    request=_searxng,
    results=lambda answer: answer["results"],
    address="url",
    title="title",
    texts=("content",),
    dated=("publishedDate",),
)
BRAVE = Engine(
    name="Brave",
    base_url="https://api.search.brave.com",
    request=_brave,
    results=lambda answer: (answer.get("web") or {}).get("results"),
    address="url",
    title="title",
    texts=("description", "extra_snippets"),
    dated=("page_age", "age"),
)
TAVILY = Engine(
    name="Tavily",
    base_url="https://api.tavily.com",
    request=_tavily,
    results=lambda answer: answer["results"],
    address="url",
    title="title",
    texts=("content",),
    dated=("published_date",),
)
SERPER = Engine(
    name="Serper",
    base_url="https://google.serper.dev",
    request=_serper,
    results=lambda answer: answer.get("organic"),
    address="link",
    title="title",
    texts=("snippet",),
    dated=("date",),
)
EXA = Engine(
    name="Exa",
    base_url="https://api.exa.ai",
    request=_exa,
    results=lambda answer: answer["results"],
    address="url",
    title="title",
    texts=("text", "highlights"),
    dated=("publishedDate",),
)
ENGINES = {engine.name.lower(): engine for engine in (SEARXNG, BRAVE, TAVILY, SERPER, EXA)}
