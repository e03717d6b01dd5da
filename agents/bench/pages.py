"""How long a page takes to open: fetched and read, and shown in a browser first. From a web site on this
machine, so that only our own work is counted."""

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agents.pages.browser import fence
from agents.pages.fetching import Fetcher
from agents.pages.opening import Opener
from agents.pages.politeness import Politeness
from agents.pages.reading import Reader
from agents.pages.rendering import Renderer
from inference.bench.report import Figure

SENTENCE = "Otters are mammals of the weasel family, and they hold hands while they are asleep. "
ARTICLE = "".join(f"<h2>Part {number}</h2><p>{SENTENCE * 8}</p>" for number in range(20))
STATIC = f"<!doctype html><title>Otters</title><article>{ARTICLE}</article>"
SCRIPTED = "<!doctype html><title>Otters</title><div id=root></div><script src=/text.js></script>"
SCRIPT = f"document.getElementById('root').innerHTML = `<article>{ARTICLE}</article>`"
ANSWERS = {
    "/static": ("text/html", STATIC),
    "/scripted": ("text/html", SCRIPTED),
    "/text.js": ("text/javascript", SCRIPT),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pages", type=int, default=50, help="pages of each kind")


def run(options: argparse.Namespace) -> list[Figure]:
    """Without Chromium and its fence only what is fetched."""
    with _site() as site:
        return asyncio.run(_measured(site, options.pages))


async def _measured(site: str, num_pages: int) -> list[Figure]:
    fetcher, reader = Fetcher(own_sites=(site,), manners=Politeness()), Reader()
    chromium = fence.chromium() if not fence.missing() else None
    renderer = Renderer(chromium, reach=fetcher.reach) if chromium is not None else None
    opener = Opener(fetcher, reader, renderer)
    try:
        figures = await _figures("fetched", opener, f"{site}/static", num_pages)
        if renderer is not None:
            figures += await _figures("shown in a browser", opener, f"{site}/scripted", num_pages)
    finally:
        reader.close()
        if renderer is not None:
            renderer.close()
    return figures


async def _figures(name: str, opener: Opener, url: str, num_pages: int) -> list[Figure]:
    first, *others = [await _open_ms(opener, url) for _ in range(num_pages + 1)]
    return [
        Figure(name=f"{name}: the first page", value=first, unit="ms"),
        Figure(name=f"{name}: p50", value=statistics.median(others), unit="ms"),
        Figure(name=f"{name}: p95", value=statistics.quantiles(others, n=20)[-1], unit="ms"),
    ]


async def _open_ms(opener: Opener, url: str) -> float:
    begun_at = time.perf_counter()
    kept = await opener.open(url)
    if "hold hands" not in kept.opened.page.sections[-1].text:
        raise AssertionError("the page was not read")
    return 1_000 * (time.perf_counter() - begun_at)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, body = ANSWERS.get(self.path, ("text/plain", ""))
        self.send_response(200 if body else 404)
        self.send_header("content-type", f"{kind}; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_words: object) -> None:
        """Says nothing."""


@contextmanager
def _site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
