"""The site as an app: a worker that shows an honest page offline, keeps nothing of a person."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.e2e.conftest import Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

KEPT = """async () => {
  const names = await caches.keys();
  const lists = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
  return lists.flat().map(({ url }) => new URL(url).pathname);
}"""


@pytest.fixture
def context(visitors: Visitors, stack: Stack) -> Iterator[BrowserContext]:
    context = visitors.browser.new_context(base_url=stack.url, locale="en-US")
    context.set_default_timeout(30_000)
    yield context
    context.close()


def test_offline_an_honest_page_and_after_signing_out_nothing(context: BrowserContext, stack: Stack) -> None:
    page = context.new_page()
    person = Person(page, name=f"away{uuid4().hex[:4]}")
    person.sign_up()
    page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    page.reload()
    expect(person.send_button).to_be_attached()
    person.ask("Hello")
    person.wait_for_answer()
    person.composer.fill("A thought not sent yet")
    chat = page.url
    page.wait_for_function(
        "Object.values(localStorage).some((kept) => kept.includes('A thought not sent yet'))"
    )

    context.set_offline(True)
    page.reload()
    expect(page.get_by_role("heading", name="No connection to the server")).to_be_visible()
    assert page.url == chat
    assert page.evaluate("getComputedStyle(document.body).fontFamily").startswith(
        "system-ui"
    )  # its styles, too
    context.set_offline(False)  # and the page that was asked for comes by itself
    expect(person.composer).to_have_value("A thought not sent yet")

    shell = {"/offline/"}
    kept = set(page.evaluate(KEPT))
    assert {path for path in kept if not path.startswith("/static/")} == shell
    assert any("/htmx-" in path for path in kept)
    page.goto("/settings/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in/**")
    page.wait_for_function(f"async () => !(await ({KEPT})()).some((path) => path.includes('/htmx-'))")
    page.goto("/?long-thinking")
    page.wait_for_url("**/sign-in/**")
    person.sign_in()
    expect(page.locator("#long-thinking")).to_be_checked()
