"""A platform, a browser, and people who sign up: for measuring, not for tests."""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from tests import bundle, services
from tests.e2e.person import Person
from tests.stack import Stack

SIZE = {"width": 1440, "height": 900}
ARGUMENTS = (
    *("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-quic", "--disable-dev-shm-usage"),
)


@dataclass
class Rig:
    stack: Stack
    browser: Browser
    _count: int = field(default=0)

    @contextmanager
    def person(self, *, watch: str = "") -> Iterator[Person]:
        """Somebody with a new account and a browser profile of their own; `watch` runs before each page."""
        self._count += 1
        context = self.browser.new_context(base_url=self.stack.url, viewport=SIZE)  # type: ignore[arg-type]
        context.set_default_timeout(60_000)
        if watch:
            context.add_init_script(watch)
        page = context.new_page()
        person = Person(page, name=f"measured{self._count}")
        person.sign_up()
        try:
            yield person
        finally:
            context.close()


@contextmanager
def running() -> Iterator[Rig]:
    executable = services.chromium()
    if executable is None:
        raise SystemExit("no Chromium on this machine: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="chat-bench-") as folder, sync_playwright() as playwright:
        place = Path(folder)
        settings = {"TURNS_PER_MINUTE": "6000", "SIGN_UPS_OF_A_NETWORK": "10000"}
        settings["BUNDLE_DIR"] = str(bundle.up_to_date(place / "built"))
        stack = Stack(place / "stack", settings=settings)
        try:
            stack.start()
            browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
            yield Rig(stack, browser)
            browser.close()
        finally:
            stack.stop()


def slow_down(page: Page, times: float) -> CDPSession:
    """The page's processor is so many times slower from now on."""
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": times})
    return session


def task_seconds(session: CDPSession) -> float:
    """How long the page's main thread has worked, by its own clock: others on the processor do not count."""
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # the first call alone does something
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def percentile(values: Sequence[float], percent: int) -> float:
    """Raises ValueError where nothing was seen: no figure may be met by what was never measured."""
    if not values:
        raise ValueError("nothing was measured")
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
