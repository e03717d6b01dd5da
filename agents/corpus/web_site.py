"""A small web site of what is installed: search, open and cite work on it as on any other, over real HTTP.

`/` lists the corpora, `/NAME/` the documents of one, `/ID` is a document, `/robots.txt` lets readers in
everywhere but below /private/.
"""

import html
from typing import Any
from urllib.parse import quote, unquote

from agents.corpus.documents import Document
from agents.corpus.index import Index, NoIndex

ROBOTS = "User-agent: *\nDisallow: /private/\n"
HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body><main>'
TAIL = "</main></body></html>"


class Site:
    """The ASGI application."""

    def __init__(self, index: Index) -> None:
        self._index = index

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = unquote(scope["raw_path"].decode("ascii")).partition("?")[0].strip("/")
        try:
            status, kind, body = self._answer(path)
        except NoIndex as fault:
            status, kind, body = 503, "text/plain", str(fault)
        headers = [
            (b"content-type", f"{kind}; charset=utf-8".encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send(
            {"type": "http.response.body", "body": body.encode() if scope["method"] != "HEAD" else b""}
        )

    def _answer(self, path: str) -> tuple[int, str, str]:
        if path == "robots.txt":
            return 200, "text/plain", ROBOTS
        names = [corpus.name for corpus in self._index.corpora()]
        if not path:
            return 200, "text/html", _listing("Corpora", [(name, name) for name in names])
        if path in names:
            return 200, "text/html", _listing(path, self._index.document_ids(path))
        found = self._index.document(path)
        if found is None:
            return 404, "text/html", f"{HEAD.format(title='Not found')}<p>There is no such page.</p>{TAIL}"
        return 200, "text/html", _page(found[0])


def address(site: str, document_id: str) -> str:
    """Where a document is on the site."""
    return f"{site.rstrip('/')}/{quote(document_id)}"


def run(index: Index, *, host: str, port: int) -> None:
    """Serve until the process is told to end."""
    import uvicorn  # which nobody else here needs

    uvicorn.run(Site(index), host=host, port=port, log_level="warning", lifespan="off", access_log=False)


def _page(document: Document) -> str:
    parts = [HEAD.format(title=html.escape(document.title)), f"<h1>{html.escape(document.title)}</h1>"]
    for section in document.sections:
        if section.heading:
            parts.append(f"<h2>{html.escape(section.heading)}</h2>")
        parts += [f"<p>{html.escape(line)}</p>" for line in section.text.splitlines() if line.strip()]
    return "\n".join([*parts, TAIL])


def _listing(title: str, entries: list[tuple[str, str]]) -> str:
    links = "\n".join(
        f'<li><a href="/{html.escape(quote(place))}">{html.escape(name)}</a></li>' for place, name in entries
    )
    return f"{HEAD.format(title=html.escape(title))}<h1>{html.escape(title)}</h1><ul>{links}</ul>{TAIL}"
