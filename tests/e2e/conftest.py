"""A browser, the platform behind it, and people who sign up. Every page is watched for complaints."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests import bundle
from tests.e2e.listener import Listener
from tests.e2e.person import Person
from tests.stack import Stack

DESKTOP = (1440, 900)
# Runs before any script of the page: what the policy blocks is told to the console, which `Visitors` reads.
WATCH = """addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.sample}`))"""

_names = (f"person{number}" for number in count(1))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # A tool that no other test calls needs consent here.
    settings = {"TURNS_PER_MINUTE": "600", "TOOL_APPROVAL": "recall=always"}
    settings["SIGN_UPS_OF_A_NETWORK"] = "10000"
    settings["BUNDLE_DIR"] = str(bundle.up_to_date(tmp_path_factory.mktemp("bundle") / "built"))
    running = Stack(tmp_path_factory.mktemp("stack"), settings=settings)
    try:
        running.start()
        yield running
    finally:
        running.stop()


expect.set_options(timeout=30_000)  # two shared cores


class Visitors:
    """Makes people, each with a browser profile of their own."""

    def __init__(self, browser: Browser, stack: Stack) -> None:
        self.browser = browser
        self.stack = stack
        self.contexts: list[BrowserContext] = []
        self.pages: list[Page] = []
        self.complaints: list[str] = []

    def stranger(
        self, size: tuple[int, int] = DESKTOP, *, theme: str = "light", language: str = "en-US"
    ) -> Person:
        """Somebody who has opened the sign-in page."""
        context = self.browser.new_context(
            base_url=self.stack.url,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,  # type: ignore[arg-type]  # one of its words
            locale=language,
            has_touch=size[0] < 640,
            service_workers="block",  # what a test holds back or answers itself passes through none
        )
        context.add_init_script(WATCH)
        context.set_default_timeout(30_000)
        context.on("page", self._watch)
        self.contexts.append(context)
        page = context.new_page()
        page.goto("/sign-in/")
        return Person(page, name=next(_names))

    def person(
        self, size: tuple[int, int] = DESKTOP, *, theme: str = "light", language: str = "en-US"
    ) -> Person:
        """Somebody with a new account, on the empty page."""
        person = self.stranger(size, theme=theme, language=language)
        person.sign_up()
        return person

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type == "error" else None,
        )


@pytest.fixture
def visitors(browser: Browser, stack: Stack) -> Iterator[Visitors]:
    """After the test no page may have complained: no script error, nothing that the policy had to block."""
    stack.script("text: Hello.")
    visitors = Visitors(browser, stack)
    yield visitors
    for context in visitors.contexts:
        context.close()
    assert visitors.complaints == []


@pytest.fixture
def person(visitors: Visitors) -> Person:
    return visitors.person()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.close()


@pytest.fixture(scope="session")
def shots() -> Path:
    folder = Path(__file__).resolve().parents[2] / "test-results"
    folder.mkdir(exist_ok=True)
    return folder
