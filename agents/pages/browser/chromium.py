"""One Chromium behind its fence and its proxy, led by Playwright: a page at a time, each in a context of its
own that nothing survives."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

import psutil
from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
    Dialog,
    Page,
    ProxySettings,
    Request,
    Route,
    async_playwright,
)
from playwright.async_api import Error as PlaywrightError

from agents.pages.browser.fence import PROXY_PORT, Fence
from agents.pages.browser.proxy import Allowance, Proxy
from agents.pages.browser.wire import Ask, Shown
from agents.pages.domains import Domains
from agents.pages.reach import Reach

START_S = 20.0
END_S = 3.0
NO_PORT = 1
WATCH_S = 0.2
LOOK_S = 0.15
QUIET_LOOKS = 3  # that the page has to stay as it is
MAX_ELEMENTS = 60_000
MAX_CHARS = 4_000_000
# What a reader of text needs: no pictures, films, fonts, frames, pings.
_LOADED = frozenset(("document", "script", "stylesheet", "xhr", "fetch"))
_SEEN = Path(__file__).with_name("seen.js").read_text(encoding="utf-8").strip()
_SIZE = "document.body ? document.body.innerText.length : -1"
# Besides what Playwright itself switches off: nothing is told to Chromium's makers, no way past the proxy.
_ARGUMENTS = (
    "--disable-quic",
    "--disable-gpu",
    "--disable-domain-reliability",
    "--dns-prefetch-disable",
    "--no-pings",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy",
    # One page at a time and nothing to steal: its frames need no processes of their own.
    "--disable-site-isolation-trials",
    "--renderer-process-limit=2",
    # The last list counts, so Playwright's words that matter here stand in it, too.
    "--disable-features=IsolateOrigins,site-per-process,WebUSB,WebBluetooth,MediaRouter,OptimizationHints,"
    "Translate,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,PaintHolding,PreconnectToSearch,"
    "NetworkTimeServiceQuerying,DestroyProfileOnBrowserClose,AvoidUnnecessaryBeforeUnloadCheckSync",
    "--js-flags=--max-old-space-size=384",
)


class Chromium:
    """`is_spent` after a page that has broken it: start another one."""

    def __init__(self, browser: Browser, proxy: Proxy) -> None:
        self._browser = browser
        self._proxy = proxy
        self.is_spent = False

    @classmethod
    @asynccontextmanager
    async def started(cls, program: Path) -> "AsyncGenerator[Chromium, None]":
        """Raises playwright's Error, TimeoutError or SandboxMissing."""
        fence, proxy, driver = Fence(program), Proxy(), async_playwright()
        try:
            async with asyncio.timeout(START_S), asyncio.TaskGroup() as starting:
                handover = starting.create_task(fence.listener())
                playwright = await driver.start()
                browser = await playwright.chromium.launch(
                    executable_path=fence.command,
                    args=list(_ARGUMENTS),
                    ignore_default_args=["--disable-popup-blocking"],
                    chromium_sandbox=False,  # no namespaces in the fence, which is one itself
                    proxy=_proxy(NO_PORT),  # what Chromium itself wants to tell its makers ends there
                    env={},
                    timeout=START_S * 1_000,
                )
            await proxy.listen(handover.result())
            yield cls(browser, proxy)
        finally:
            await proxy.close()
            # The driver ends the browser with itself; one that hangs is ended with this process.
            with suppress(TimeoutError, PlaywrightError):
                await asyncio.wait_for(driver.__aexit__(), END_S)
            fence.close()

    async def shown(self, ask: Ask) -> Shown:
        reach = Reach(
            domains=Domains(ask.allowed, ask.denied), own_sites=ask.own_sites, max_bytes=ask.max_bytes
        )
        allowance = Allowance(reach=reach, max_bytes=ask.max_bytes, max_connections=ask.max_connections)
        watch = asyncio.create_task(_out_of_memory(ask.memory_bytes))
        try:
            async with self._proxy.open_for(allowance), asyncio.timeout(ask.total_s):
                work = asyncio.create_task(self._page(ask))
                done, _ = await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
                if work not in done:
                    work.cancel()
                    shown = self._broken("memory")
                else:
                    shown = work.result()
        except TimeoutError:
            shown = self._broken("late")
        except PlaywrightError as fault:
            # Refused connections come here, too, and leave the browser as it was.
            shown = Shown(fault="unreachable") if "net::" in str(fault) else self._broken("broken")
        finally:
            watch.cancel()
        return _counted(shown, allowance)

    def _broken(self, fault: Any) -> Shown:
        self.is_spent = True
        return Shown(fault=fault)

    async def _page(self, ask: Ask) -> Shown:
        context = await self._browser.new_context(
            proxy=_proxy(PROXY_PORT),
            accept_downloads=False,
            service_workers="block",
            user_agent=ask.user_agent,
            locale="en-US",
            viewport={"width": 1280, "height": 2_000},
        )
        try:
            visit = _Visit(await context.new_page(), ask)
            await visit.prepare(context)
            return await visit.shown()
        finally:
            with suppress(PlaywrightError):
                await context.close()


class _Visit:
    """One page, from its address to what it shows."""

    def __init__(self, page: Page, ask: Ask) -> None:
        self._page = page
        self._ask = ask
        self._leads_on = ""
        self._has_begun = False
        self._num_loading = 0

    async def prepare(self, context: BrowserContext) -> None:
        context.on("page", _closed)  # whatever it opens besides itself
        self._page.on("dialog", _dismissed)
        self._page.on("request", lambda _: self._load(1))
        self._page.on("requestfinished", lambda _: self._load(-1))
        self._page.on("requestfailed", lambda _: self._load(-1))
        await context.route("**/*", self._decide)

    async def shown(self) -> Shown:
        try:
            return await self._seen()
        except PlaywrightError:
            if not self._leads_on:
                raise
            return Shown(leads_on=self._leads_on)  # it has left while it was looked at

    async def _seen(self) -> Shown:
        response = await self._page.goto(self._ask.url, wait_until="commit", timeout=0)
        if response is None:
            return Shown(fault="unreachable")
        if response.status >= 400:
            return Shown(fault="status", status=response.status, url=response.url)
        if _differ(response.url, self._ask.url):
            return Shown(leads_on=response.url)
        session, world = await self._own_world()
        await self._settled(session, world)
        if self._leads_on:
            return Shown(leads_on=self._leads_on)
        seen = await _evaluated(session, world, f"{_SEEN}({MAX_ELEMENTS}, {MAX_CHARS})")
        note = "" if seen["isWhole"] else "Only the beginning of this long page was read."
        return Shown(html=seen["html"], url=response.url, note=note)

    def _load(self, change: int) -> None:
        self._num_loading += change

    async def _decide(self, route: Route, request: Request) -> None:
        with suppress(PlaywrightError):
            is_taken = request.resource_type in _LOADED
            if request.is_navigation_request():
                is_taken = self._is_of_page(request) and self._may_go(request.url)
            await (route.continue_() if is_taken else route.abort())

    def _is_of_page(self, request: Request) -> bool:
        """And not of a frame in it or of a window that it opens."""
        try:
            return request.frame == self._page.main_frame
        except PlaywrightError:
            return False  # of a frame that is not there yet

    def _may_go(self, url: str) -> bool:
        """To its own address once: a page that loads itself again would do so for ever. To another, as with a
        redirect, it is whoever asked for this page that decides."""
        is_first, self._has_begun = not self._has_begun, True
        if _differ(url, self._ask.url):
            self._leads_on = self._leads_on or url
            return False
        return is_first

    async def _own_world(self) -> tuple[CDPSession, int]:
        session = await self._page.context.new_cdp_session(self._page)
        tree = await session.send("Page.getFrameTree")
        made = await session.send(
            "Page.createIsolatedWorld", {"frameId": tree["frameTree"]["frame"]["id"], "worldName": "reading"}
        )
        return session, made["executionContextId"]

    async def _settled(self, session: CDPSession, world: int) -> None:
        """Until nothing is loading and the text stays as it is, or time is up."""
        until = time.monotonic() + self._ask.settle_s
        last, num_quiet = -1, 0
        while num_quiet < QUIET_LOOKS and time.monotonic() < until and not self._leads_on:
            await asyncio.sleep(LOOK_S)
            size = await _evaluated(session, world, _SIZE)
            num_quiet = num_quiet + 1 if size == last and size >= 0 and self._num_loading <= 0 else 0
            last = size


def _proxy(port: int) -> ProxySettings:
    """For everything, addresses of its own machine among it."""
    return {"server": f"http://127.0.0.1:{port}", "bypass": "<-loopback>"}


async def _evaluated(session: CDPSession, world: int, expression: str) -> Any:
    answer = await session.send(
        "Runtime.evaluate", {"expression": expression, "contextId": world, "returnByValue": True}
    )
    if "exceptionDetails" in answer:
        raise PlaywrightError("the page cannot be looked at")
    return answer["result"]["value"]


async def _closed(page: Page) -> None:
    with suppress(PlaywrightError):
        await page.close()


async def _dismissed(dialog: Dialog) -> None:
    with suppress(PlaywrightError):
        await dialog.dismiss()


def _differ(first: str, second: str) -> bool:
    return urldefrag(first)[0] != urldefrag(second)[0]


async def _out_of_memory(most: int) -> None:
    """Returns once all that this process has started uses more."""
    while not await asyncio.to_thread(_uses_more_than, most):
        await asyncio.sleep(WATCH_S)


def _uses_more_than(most: int) -> bool:
    processes = psutil.Process().children(recursive=True)
    # The exact count takes the kernel long, and the rough one is never below it.
    return sum(map(_resident, processes)) > most and sum(map(_own, processes)) > most


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _own(process: psutil.Process) -> int:
    """With its part of what it shares."""
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


def _counted(shown: Shown, allowance: Allowance) -> Shown:
    note = shown.note
    if shown.html and allowance.is_spent:
        note = "The page wanted more of the network than a page is given: some of it may be missing."
    return Shown(
        html=shown.html,
        url=shown.url,
        leads_on=shown.leads_on,
        fault=shown.fault,
        status=shown.status,
        note=note,
        num_bytes=allowance.num_bytes,
        refused=allowance.refused,
    )
