"""A model that writes hostile markdown: drawn live, and again from the store, it does nothing to the page."""

import pytest

from inference.backends.scripted import Reply
from tests.e2e.person import Person
from tests.pages.hostile import PAYLOADS
from tests.stack import Stack

pytestmark = pytest.mark.e2e

HARMS = r"""() => {
  const found = [...document.querySelectorAll(".answer *, .reasoning__body *")].filter((node) =>
    /^(script|iframe|object|embed|svg|img|style|link|meta|base|form|input|video|audio|template)$/i.test(node.tagName)
      && !(node.closest("button") || node.closest(".code__head"))
      && !(node.tagName === "IMG"
        && /^(files\/[^?#]+|\/artifacts\/[0-9a-f-]+\/)$/.test(node.getAttribute("src")))
    || [...node.attributes].some((a) => /^(on|hx-|data-hx-|style$|srcdoc|formaction)/i.test(a.name))
    || (node.tagName === "A" && !/^(https?:\/\/.|mailto:|files\/)/.test(node.getAttribute("href"))));
  return { hacked: window.hacked ?? null, found: found.map((node) => node.outerHTML.slice(0, 200)) };
}"""


def test_nothing_hostile_lives_neither_streamed_nor_stored(person: Person, stack: Stack) -> None:
    asked_outside: list[str] = []
    person.page.on(
        "request",
        lambda request: None if request.url.startswith(stack.url) else asked_outside.append(request.url),
    )
    corpus = "\n\n".join(payload.replace("\r", "") for payload in PAYLOADS)
    stack.script(Reply(lines=("pace: 400", f"think: {corpus}", f"text: {corpus}")))
    person.ask("Hack me", long_thinking=True)
    person.last_turn.locator(".reasoning summary").click()
    person.wait_for_answer()
    assert person.page.evaluate(HARMS) == {"hacked": None, "found": []}
    person.page.reload()
    person.last_turn.locator(".answer").wait_for()
    assert person.page.evaluate(HARMS) == {"hacked": None, "found": []}
    assert [url for url in asked_outside if not url.startswith(("data:", "blob:"))] == []
