"""Pages that need scripts, in a real Chromium behind its fence: what it reads, and that it gets nowhere
else."""

import asyncio
import json
import select
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from agents.corpus.index import Index
from agents.pages.browser import fence
from agents.pages.faults import Kind, PageFault
from agents.pages.fetching import Fetcher
from agents.pages.library import Library
from agents.pages.reach import Reach
from agents.pages.reading import Reader
from agents.pages.rendering import Bounds, Renderer
from agents.tools.find_in_page import FindInPage
from agents.tools.open_page import OpenPage
from tests.agents.test_url_guard import HOSTILE
from tests.search import sites
from tests.search.sites import Answer, Pages
from tests.search.test_search_tools import call

pytestmark = pytest.mark.skipif(bool(fence.missing()), reason=fence.missing())

SCRIPT = "text/javascript"
SHELL = '<!doctype html><title>{title}</title><div id="root"></div><script>{script}</script>'


def page(script: str, title: str = "A page") -> Answer:
    """A page whose text comes by its script alone."""
    return Answer(body=SHELL.format(title=title, script=script).encode())


def shows(html: str) -> str:
    return f"document.getElementById('root').innerHTML = {json.dumps(html)};"


# A worker that has shown a page and waits for the next.
WORKER = """
import asyncio, sys, time
from pathlib import Path
from agents.pages.reach import Reach
from agents.pages.rendering import Renderer

renderer = Renderer(Path(sys.argv[1]), reach=Reach(own_sites=(sys.argv[2],)))
assert "Here." in asyncio.run(renderer.show(f"{sys.argv[2]}/good")).html
print("shown", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages()


@pytest.fixture(scope="module")
def site(pages: Pages) -> Iterator[str]:
    with sites.serve(pages) as address:
        yield address


@pytest.fixture(scope="module")
def fetcher(site: str) -> Fetcher:
    return Fetcher(own_sites=(site,))


@pytest.fixture(scope="module")
def renderer(fetcher: Fetcher) -> Iterator[Renderer]:
    chromium = fence.chromium()
    assert chromium is not None
    # For a page that tries hundreds of ways.
    bounds = Bounds(total_s=40.0, settle_s=20.0, memory_bytes=3 * 2**30)
    renderer = Renderer(chromium, reach=fetcher.reach, bounds=bounds)
    yield renderer
    renderer.close()


@pytest.fixture
def library(index: Index, fetcher: Fetcher, reader: Reader, renderer: Renderer) -> Library:
    return Library(index, fetcher=fetcher, reader=reader, renderer=renderer)


@pytest.fixture
async def forbidden() -> AsyncIterator[list[socket.socket]]:
    """Listeners on every address of this machine, at a port that the guard lets through: only where an
    address leads can refuse it."""
    with ExitStack() as stack:
        for port in (8000, 8080, 8443):
            with suppress(OSError):
                plain = stack.enter_context(socket.create_server(("0.0.0.0", port)))
                both = socket.socket(socket.AF_INET6)
                both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                both.bind(("::", port))
                both.listen()
                yield [plain, stack.enter_context(both)]
                return
        pytest.skip("other programs have the ports that are tried")


def callers(listeners: list[socket.socket]) -> int:
    return len(select.select(listeners, [], [], 0)[0])


async def test_text_that_only_scripts_bring_is_read_and_cited(
    library: Library, site: str, pages: Pages
) -> None:
    pages.answers |= {
        "/app": Answer(body=b'<title>Otters</title><div id="root"></div><script src="/app.js"></script>'),
        "/app.js": Answer(
            content_type=SCRIPT,
            body=b"fetch('/data').then(d => d.json()).then(d => setTimeout(() => {"
            b"root.innerHTML = `<h1>Otters</h1><p>${d.text}</p><a href=/more>More</a>`}, 200))",
        ),
        "/data": Answer(content_type="application/json", body=b'{"text": "They hold hands asleep."}'),
    }
    result = await call(OpenPage(library), source=f"{site}/app")
    assert not result.is_error, result.for_model
    assert "They hold hands asleep." in result.passages[0].text
    assert f"More: {site}/more" in result.for_model
    found = await call(FindInPage(library), source=f"{site}/app", words="hands")
    assert found.passages[0].source == f"{site}/app"
    assert pages.paths == ["/app", "/app", "/app.js", "/data"]


async def test_a_page_without_a_browser_says_that_it_needs_one(
    index: Index, site: str, pages: Pages, fetcher: Fetcher, reader: Reader
) -> None:
    pages.answers["/bare"] = page(shows("<p>Never seen.</p>"))
    plain = Library(index, fetcher=fetcher, reader=reader)
    assert "browser" in (await call(OpenPage(plain), source=f"{site}/bare")).for_model
    pages.answers["/little"] = Answer(body=b"<p>A word.</p><script>1</script>")
    little = await call(OpenPage(plain), source=f"{site}/little")
    assert "A word." in little.for_model
    assert "needs a browser" in little.for_model


async def test_what_a_browser_hides_is_not_read(library: Library, site: str, pages: Pages) -> None:
    style = "<style>.t{color:#fff}.n{display:none}.o{position:absolute;left:-9999px}.f{font-size:0}</style>"
    traps = "".join(f'<p class="{name}">trap-{name}</p>' for name in "tnof")
    shadow = (
        "const s = document.body.appendChild(document.createElement('x-y')).attachShadow({mode: 'open'});"
    )
    inside = "s.innerHTML = '<style>i{visibility:hidden}</style><p>In a shadow.<i>trap-i</i></p>';"
    lies = "window.getComputedStyle = () => ({}); JSON.stringify = () => 'trap-j';"
    pages.answers["/traps"] = page(f"{lies}{shadow}{inside}{shows(f'{style}<p>Seen.</p>{traps}')}")
    result = await call(OpenPage(library), source=f"{site}/traps")
    assert "Seen." in result.for_model
    assert "In a shadow." in result.for_model
    assert "trap-" not in result.for_model


@pytest.mark.slow
async def test_no_script_reaches_an_address_of_this_machine(
    renderer: Renderer, site: str, pages: Pages, forbidden: list[socket.socket]
) -> None:
    port = forbidden[0].getsockname()[1]
    own = {address.address for found in psutil.net_if_addrs().values() for address in found}
    urls = [url.replace("{port}", str(port)) for url in HOSTILE]
    urls += [f"http://{f'[{one}]' if ':' in one else one}:{port}/" for one in own if one[2:3] != ":"]
    urls += [f"{site}/hop?{number}" for number in range(2)]
    pages.answers["/hop"] = Answer(status=302, headers={"location": f"http://127.0.0.1:{port}/in"})
    pages.answers["/tries"] = page(f"""
        const tried = [];
        for (const url of {json.dumps(urls)}) {{
          for (const way of [
            (u) => fetch(u, {{mode: "no-cors"}}).catch(() => 0),
            (u) => navigator.sendBeacon(u, "x"),
            (u) => new WebSocket(u.replace(/^http/, "ws")),
            (u) => new EventSource(u),
            (u) => {{ const x = new XMLHttpRequest(); x.open("POST", u); x.send("x"); }},
            (u) => window.open(u),
            (u) => {{ new Image().src = u; }},
            (u) => {{ for (const [tag, name] of [["iframe", "src"], ["script", "src"], ["link", "href"],
                ["object", "data"], ["embed", "src"], ["video", "src"]]) {{
              const e = document.createElement(tag);
              if (tag === "link") e.rel = ["stylesheet", "prefetch", "preconnect"][tried.length % 3];
              e[name] = u; document.body.appendChild(e); }} }},
          ]) {{ try {{ way(url); }} catch (e) {{ }} tried.push(url); }}
        }}
        {shows("<p>All tried.</p>")}""")
    shown = await renderer.show(f"{site}/tries")
    assert "All tried." in shown.html
    assert len(shown.refused) > 20
    assert callers(forbidden) == 0


async def test_no_page_reaches_another_site_of_the_operator(site: str, pages: Pages) -> None:
    other = Pages({"/x": Answer(body=b"secret", headers={"access-control-allow-origin": "*"})})
    with sites.serve(other) as inner:
        script = (
            f"fetch('{inner}/x').then(r => r.text(), () => 'refused').then(t => root.textContent = t + '!')"
        )
        pages.answers["/curious"] = page(script)
        chromium = fence.chromium()
        assert chromium is not None
        renderer = Renderer(chromium, reach=Reach(own_sites=(site, inner)))
        try:
            assert "refused!" in (await renderer.show(f"{site}/curious")).html
        finally:
            renderer.close()
    assert other.asked == []


async def test_no_datagram_leaves_the_browser(renderer: Renderer, site: str, pages: Pages) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("0.0.0.0", 0))
        port = listener.getsockname()[1]
        servers = [{"urls": f"stun:{host}:{port}"} for host in ("127.0.0.1", "0.0.0.0", socket.gethostname())]
        pages.answers["/webrtc"] = page(f"""
            const done = {json.dumps("<p>Done.</p>")};
            const show = () => {{ document.getElementById("root").innerHTML = done; }};
            try {{
              const c = new RTCPeerConnection({{iceServers: {json.dumps(servers)}}});
              c.createDataChannel("x");
              c.createOffer().then((o) => c.setLocalDescription(o)).then(() => setTimeout(show, 500), show);
            }} catch (e) {{ show(); }}""")
        assert "Done." in (await renderer.show(f"{site}/webrtc")).html
        assert callers([listener]) == 0


@pytest.mark.parametrize(
    "leave",
    [
        "location.href = {url}",
        "location.replace({url})",
        "document.body.innerHTML += `<form action=${{{url}}} method=post>`; document.forms[0].submit()",
        "document.head.innerHTML += `<meta http-equiv=refresh content='0;url=${{{url}}}'>`",
        "const a = document.createElement('a'); a.href = {url}; document.body.appendChild(a).click()",
    ],
)
async def test_where_scripts_lead_on_is_asked_anew_whether_it_may_be_read(
    library: Library, site: str, pages: Pages, forbidden: list[socket.socket], leave: str
) -> None:
    port = forbidden[0].getsockname()[1]
    pages.answers["/robots.txt"] = Answer(body=b"User-agent: *\nDisallow: /closed", content_type="text/plain")
    pages.answers["/open"] = Answer(body=b"<p>" + b"Open to everybody. " * 30)
    for target, words in (
        (f"{site}/open", "Open to everybody."),
        (f"http://127.0.0.1:{port}/in", "refused: "),
    ):
        path = f"/leave-{abs(hash((leave, target)))}"
        pages.answers[path] = page(leave.format(url=json.dumps(target)))
        assert words in (await call(OpenPage(library), source=f"{site}{path}")).for_model
    assert callers(forbidden) == 0


async def test_scripts_that_lead_to_what_robots_may_not_read_are_not_followed(
    index: Index, reader: Reader
) -> None:
    pages = Pages({"/x": page("location.href = '/closed/x'"), "/closed/x": Answer(body=b"secret")})
    pages.answers["/robots.txt"] = Answer(body=b"User-agent: *\nDisallow: /closed", content_type="text/plain")
    with sites.serve(pages) as site:
        fetcher = Fetcher(own_sites=(site,))
        chromium = fence.chromium()
        assert chromium is not None
        renderer = Renderer(chromium, reach=fetcher.reach)
        try:
            library = Library(index, fetcher=fetcher, reader=reader, renderer=renderer)
            result = await call(OpenPage(library), source=f"{site}/x")
        finally:
            renderer.close()
    assert result.for_model.startswith("blocked: ")
    assert "/closed/x" not in pages.paths


async def test_nothing_of_a_page_is_there_for_the_next_one(
    renderer: Renderer, site: str, pages: Pages
) -> None:
    pages.answers["/memory"] = page("""
        const kept = [localStorage.x, document.cookie, sessionStorage.x].join("|");
        localStorage.x = sessionStorage.x = "left"; document.cookie = "x=left; max-age=9999";
        navigator.serviceWorker && navigator.serviceWorker.register("/sw.js").catch(() => 0);
        document.getElementById("root").textContent = `found ${kept} here`;""")
    pages.answers["/sw.js"] = Answer(content_type=SCRIPT, body=b"fetch('/from-worker')")
    for _ in range(2):
        assert "found || here" in (await renderer.show(f"{site}/memory")).html
    assert "/from-worker" not in pages.paths


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("for (;;) {}", Kind.TIMEOUT),
        ("const a = []; for (;;) a.push(new Uint8Array(2 ** 24).fill(1))", None),
        ("document.body.innerHTML = '<b>x</b>'.repeat(1e6)", None),
        ("for (;;) document.body.appendChild(document.createElement('div')).innerHTML = '<p>x'", None),
        ("alert(1); confirm(2); print(); document.body.textContent = 'after all'", None),
        ("location.reload()", None),
        ("setInterval(() => fetch('/big').then(r => r.blob()), 1)", None),
    ],
)
async def test_a_page_made_to_break_the_browser_ends_in_bounds_and_the_next_is_shown(
    fetcher: Fetcher, site: str, pages: Pages, script: str, kind: Kind | None
) -> None:
    pages.answers["/evil"] = page(script)
    pages.answers["/good"] = page(shows("<p>Still here.</p>"))
    pages.answers["/big"] = Answer(body=b"x" * 2_000_000)
    chromium = fence.chromium()
    assert chromium is not None
    bounds = Bounds(total_s=6.0, settle_s=2.0, memory_bytes=900 * 2**20, max_bytes=10_000_000)
    renderer = Renderer(chromium, reach=fetcher.reach, bounds=bounds)
    try:
        fault, num_bytes = await outcome_of(renderer, f"{site}/evil")
        assert fault in ((kind,) if kind else (None, Kind.TIMEOUT, Kind.TOO_LARGE, Kind.FAILED))
        assert num_bytes < 14_000_000
        assert "Still here." in (await renderer.show(f"{site}/good")).html
    finally:
        renderer.close()


async def outcome_of(renderer: Renderer, url: str) -> tuple[Kind | None, int]:
    """What went wrong, and how much was fetched or shown."""
    try:
        shown = await renderer.show(url)
    except PageFault as fault:
        return fault.kind, 0
    return None, max(shown.num_bytes, len(shown.html))


async def test_a_browser_that_is_closed_leaves_no_process(fetcher: Fetcher, site: str, pages: Pages) -> None:
    pages.answers["/good"] = page(shows("<p>Here.</p>"))
    chromium = fence.chromium()
    assert chromium is not None
    renderer = Renderer(chromium, reach=fetcher.reach)
    await renderer.show(f"{site}/good")
    assert renderer.pid is not None
    family = psutil.Process(renderer.pid).children(recursive=True)
    assert any("chrom" in process.name() for process in family)
    folder = Path(psutil.Process(renderer.pid).environ()["TMPDIR"])
    assert folder.exists()
    renderer.close()
    await asyncio.to_thread(psutil.wait_procs, family, timeout=20)
    assert [process for process in family if process.is_running()] == []
    assert not folder.exists()


async def test_no_browser_outlives_a_worker_that_is_killed(site: str, pages: Pages) -> None:
    pages.answers["/good"] = page(shows("<p>Here.</p>"))
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, str(fence.chromium()), site), stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    assert await asyncio.wait_for(worker.stdout.readline(), 60) == b"shown\n"
    family = psutil.Process(worker.pid).children(recursive=True)
    assert any("chrom" in process.name() for process in family)
    worker.kill()
    await worker.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=30)
    assert alive == []


def test_where_something_is_missing_the_operator_is_told() -> None:
    assert "CHROMIUM" in fence.missing("/nowhere/chromium")
