"""Documents in answers open beside the conversation, run where they reach nothing, and can be stopped."""

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.conftest import Visitors
from tests.e2e.listener import Listener
from tests.e2e.person import Person
from tests.e2e.test_preview import read
from tests.stack import Stack

pytestmark = pytest.mark.e2e

COUNTER = """<!doctype html>
<title>Counter</title>
<button id="count">Count 0</button>
<script>
  let n = 0;
  count.onclick = () => { count.textContent = `Count ${++n}`; };
  localStorage.setItem("kept", "here alone");
  console.error("a fault of the page");
</script>"""
DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><title>Dot</title><circle r="4"/></svg>'
NOTES = "# Notes\n" + "\n".join(f"- point {number}" for number in range(20))


def fenced(language: str, text: str) -> str:
    return f"Here:\n\n````{language}\n{text}\n````\n"


def say(person: Person, stack: Stack, *parts: str) -> None:
    stack.script("text: " + "\n".join(parts))
    person.ask("Make it")
    person.wait_for_answer()


def opener(person: Person, nth: int = -1) -> Locator:
    return person.page.get_by_role("button", name="Open", exact=True).nth(nth)


def test_a_page_runs_beside_the_chat_in_each_of_its_versions(
    person: Person, visitors: Visitors, stack: Stack
) -> None:
    page, panel = person.page, person.page.locator("#panel")
    frame = page.frame_locator(".preview__frame")
    say(person, stack, fenced("html", COUNTER))
    opener(person).click()
    frame.get_by_role("button", name="Count 0").click()
    expect(frame.get_by_role("button", name="Count 1")).to_be_visible()
    expect(panel.locator(".console__line")).to_have_text("a fault of the page")
    expect(panel.get_by_label("Version")).to_be_hidden()

    say(person, stack, fenced("html", COUNTER.replace("Count 0", "Press 0")))
    expect(frame.get_by_role("button", name="Press 0")).to_be_visible()  # who saw the newest goes on with it
    panel.get_by_label("Version").select_option("Version 1")
    expect(frame.get_by_role("button", name="Count 0")).to_be_visible()
    panel.get_by_text("Source", exact=True).click()
    expect(panel.locator("pre code")).to_contain_text("Count 0")
    expect(panel.locator(".preview__frame")).to_be_hidden()
    with page.expect_download() as saved:
        panel.get_by_role("button", name="Download").click()
    assert saved.value.suggested_filename == "Counter.html"
    assert saved.value.path().read_text() == COUNTER

    panel.get_by_text("Preview", exact=True).click()
    frame.locator("#count").press("Escape")
    expect(panel).to_be_hidden()
    expect(opener(person, 0)).to_be_focused()
    visitors.complaints.clear()  # the page's own


def test_drawings_texts_and_scripts_open_too(person: Person, stack: Stack) -> None:
    page, panel = person.page, person.page.locator("#panel")
    frame = page.frame_locator(".preview__frame")
    script = "\n" * 15 + 'document.body.append("By a script </script>");'
    say(person, stack, fenced("svg", DRAWING), fenced("markdown", NOTES), fenced("js", script))
    opener(person, 0).click()
    expect(frame.locator("svg circle")).to_be_visible()
    expect(panel.locator(".panel__title")).to_have_text("Dot")
    opener(person, 1).click()
    expect(panel.locator(".answer li")).to_have_count(20)
    opener(person, 2).click()
    expect(frame.locator("body")).to_contain_text("By a script </script>")
    say(person, stack, fenced("html", "<p>Only a line.</p>"))
    expect(person.last_turn.get_by_role("button", name="Copy", exact=True).first).to_be_visible()
    expect(person.last_turn.get_by_role("button", name="Open", exact=True)).to_have_count(0)


def test_a_page_that_hangs_leaves_the_chat_alone(person: Person, stack: Stack) -> None:
    panel = person.page.locator("#panel")
    say(person, stack, fenced("html", "<!doctype html><title>Loop</title><script>for (;;);</script>"))
    opener(person).click()
    panel.get_by_role("button", name="Stop it").click()
    expect(panel.locator(".preview__frame")).to_have_count(0)
    say(person, stack, "Still here.")
    person.wait_for_text("Still here.")


def test_a_hostile_artifact_tells_nobody(
    person: Person, visitors: Visitors, stack: Stack, listener: Listener
) -> None:
    """All of them at once, each on a stage of its own, until each has had its turn."""
    out = f"http://127.0.0.1:{listener.port}"
    pages = {
        name: text.replace("OUT", out).replace("PORT", str(listener.port))
        for name, text in read("hostile").items()
    }
    say(person, stack, fenced("html", COUNTER))
    url = person.page.url
    spoke = person.page.evaluate(
        """async (pages) => {
          const spoke = new Set(); // frames whose page ran, and was told what it may not
          addEventListener("message", ({ source, data }) => { if (data?.preview) spoke.add(source); });
          const frame = document.getElementById("artifact-frame").content.firstElementChild;
          await Promise.all(Object.entries(pages).map(([name, page]) => new Promise((resolve) => {
            const one = frame.cloneNode();
            one.addEventListener("load", () => {
              one.contentWindow.postMessage({ page }, "*");
              setTimeout(resolve, 3000);
            }, { once: true });
            document.body.append(one);
          })));
          for (let wait = 300; wait && spoke.size < 8; wait--) {
            await new Promise((done) => setTimeout(done, 100));
          }
          return spoke.size;
        }""",
        pages,
    )
    assert spoke >= 8
    assert listener.heard == []
    assert (person.page.url, len(person.page.context.pages)) == (url, 1)
    visitors.complaints.clear()
