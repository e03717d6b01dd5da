"""Diagrams in answers: drawn in a frame that reaches nothing, shown as pictures; else their source."""

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.conftest import Visitors
from tests.e2e.listener import Listener
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

ANSWER = """The flow:

```mermaid
flowchart LR
  accTitle: From question to answer
  A[Question] --> B{Long Thinking?}
  B -- yes --> C[Search] --> D[Answer]
```

What is none:

```mermaid
flowchart TD
  A -->
```

And one that wants more:

```mermaid
%%{init: {"securityLevel": "loose", "htmlLabels": true, "flowchart": {"htmlLabels": true}}}%%
%%{init: {"themeCSS": "* { background: url(OUT/css) }"}}%%
flowchart LR
  A["<img src='OUT/img' onerror='top.hacked = 1'>"] --> B["<script>top.hacked = 1</script>"]
  click A href "javascript:top.hacked=1"
  click B call alert()
```

The end."""


def pictures(place: Locator) -> Locator:
    return place.locator(".diagram__picture img")


def test_a_diagram_is_a_picture_live_stored_and_shared(
    person: Person, visitors: Visitors, stack: Stack, listener: Listener
) -> None:
    stack.script("pace: 200", "text: " + ANSWER.replace("OUT", f"http://127.0.0.1:{listener.port}"))
    person.ask("Draw it")
    person.wait_for_answer()
    first = person.last_turn.locator(".code").first
    expect(pictures(first)).to_have_attribute("alt", "Diagram: From question to answer")
    expect(person.last_turn.locator(".diagram__fault")).to_be_attached()
    expect(pictures(person.last_turn)).to_have_count(2)
    expect(first.locator("pre")).to_be_hidden()
    first.get_by_role("button", name="Source").click()
    expect(first.locator("pre")).to_contain_text("B{Long Thinking?}")
    expect(pictures(first)).to_be_hidden()
    for name, beginning in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with person.page.expect_download() as saved:
            person.last_turn.get_by_role("button", name=f"Download as {name}").last.click()
        content = saved.value.path().read_bytes()
        assert content.startswith(beginning)
        assert not any(
            word in content.lower() for word in (b"<script", b"javascript:", b"onerror", b"<image")
        )
    assert person.page.evaluate("window.hacked") is None
    assert listener.heard == []

    person.page.reload()
    expect(pictures(person.last_turn)).to_have_count(2)
    person.page.get_by_role("button", name="More").click()
    person.page.get_by_role("menuitem", name="Share").click()
    person.page.get_by_role("button", name="Make a link").click()
    person.page.goto(person.page.locator("#shared-link").inner_text())
    expect(pictures(person.page.locator(".answer"))).to_have_count(2)
    assert listener.heard == []
    visitors.complaints.clear()  # of what the hostile one tried in its frame


def test_a_diagram_that_hangs_stops_its_frame_alone(person: Person, stack: Stack) -> None:
    drawn = "```mermaid\nflowchart LR\n  {0} --> {1}\n```\n"
    stack.script("text: " + drawn.format("A", "B"))
    person.ask("Draw it")
    person.wait_for_answer()
    expect(pictures(person.last_turn)).to_have_count(1)
    stage = person.page.frame(url="**/stage/diagrams/")
    assert stage is not None
    stage.evaluate("setTimeout(() => { for (;;); })")
    stack.script("text: " + drawn.format("C", "D") + "\n" + drawn.format("E", "F"))
    person.ask("Draw two")  # the page goes on
    person.wait_for_answer()
    expect(person.last_turn.locator(".diagram__fault")).to_have_count(1)
    expect(pictures(person.last_turn)).to_have_count(1)
