"""Every main state, wide and narrow, light and dark: accessible, not cut off; a picture of each is kept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import DESKTOP, Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PHONE = (390, 844)
AXE = next((Path(__file__).parent / "vendor").glob("axe-core-*/axe.min.js"))
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ANSWER = """\
The arithmetic is sound; the size of the cooling is the weak link. The paper estimates **2,644 of 6,700
deaths** avoided in 93 cities.

## How it is calculated

For each city, baseline deaths are scaled:

| City | Tree cover | Deaths avoided |
|---|--:|--:|
| Barcelona | 8.4 % | 212 |
| Copenhagen | 15.8 % | 9 |

- **Surface is not air.** Trees cool surfaces by 8 to 12 K.
- **One summer.** 2015 was warm but not extreme.

```python
import numpy as np

def avoided(deaths, beta, cooling):  # by city
    return deaths * (1 - np.exp(-beta * cooling))

print(f"{avoided(212, 0.1, 0.8):,.0f}")
```

My rebuild is within 0.5 % of the figure. See [the paper](https://example.com/paper)."""
QUESTION = (
    "A 2023 paper says 30 % tree cover would have prevented 40 % of urban-heat deaths. How solid is that?"
)
THOUGHT = (
    "The claim has two parts: a percentage and a counterfactual.\n\n**Denominator.** The abstract counts "
    "deaths attributed to the heat island, 6,700 in summer 2015, not all heat deaths."
)


SCENES = """
import json
from agents.tooling import policy
from tests.pages import scenes
from webapp.accounts.models import User

person = User.objects.get(username="{name}")
turns = dict(
    approval=scenes.waiting(person, "approval", prompt=policy.AFTER_OUTSIDE_TEXT),
    outcome=scenes.waiting(person, "outcome", name="send_mail"),
    question=scenes.question(person),
    plan=scenes.proposed_plan(person),
    trace=scenes.noted(person),
    heavy=scenes.heavy(person),
    run=scenes.long(person, num_steps=120),
)
print(json.dumps({{state: str(turn.conversation_id) for state, turn in turns.items()}}))
"""


def check(page: Page, picture: Path) -> None:
    """Keep a picture; no axe finding, nothing wider than the window."""
    page.wait_for_timeout(250)
    page.screenshot(path=picture)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}}).then(r => r.violations.map(v => "
        "({id: v.id, nodes: v.nodes.map(n => n.target.join(' ') + ': ' + n.failureSummary)})))",
        RULES,
    )
    assert found == [], json.dumps(found, indent=1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_chat_looks_right_and_is_accessible(
    visitors: Visitors, stack: Stack, shots: Path, size: tuple[int, int], theme: str
) -> None:
    person = visitors.person(size, theme=theme)
    name = _namer(shots, size, theme)
    check(person.page, name("empty"))
    person.set_long_thinking(True)
    person.page.get_by_role("button", name="Effort:").click()
    check(person.page, name("empty-menu"))
    person.page.keyboard.press("Escape")

    stack.script("pace: 25", f"think: {THOUGHT}", "pace: 0", "stall:")
    person.ask(QUESTION)
    person.last_turn.locator(".reasoning__preview").wait_for()
    person.page.wait_for_timeout(1500)
    check(person.page, name("thinking"))
    person.last_turn.locator(".reasoning summary").click()
    check(person.page, name("thinking-open"))
    person.send_button.click()
    person.wait_for_answer()
    check(person.page, name("stopped"))

    stack.script(f"think: {THOUGHT}", f"text: {ANSWER}")
    person.last_turn.get_by_role("button", name="Answer again").click()
    person.wait_for_text("the paper")
    person.wait_for_answer()
    person.page.locator("#scroller").evaluate("e => e.scrollTo(0, 0)")
    check(person.page, name("answer"))
    person.page.locator("#scroller").evaluate("e => e.scrollTo(0, e.scrollHeight)")
    check(person.page, name("answer-end"))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_other_pages_look_right_and_are_accessible(
    visitors: Visitors, stack: Stack, shots: Path, size: tuple[int, int], theme: str
) -> None:
    name = _namer(shots, size, theme)
    stranger = visitors.stranger(size, theme=theme)
    check(stranger.page, name("sign-in"))
    stranger.sign_in()
    stranger.page.get_by_role("alert").wait_for()
    check(stranger.page, name("sign-in-refused"))
    for address, picture in (
        ("/sign-up/", "sign-up"),
        ("/password/reset/", "password-reset"),
        ("/nowhere/", "404"),
    ):
        stranger.page.goto(address)
        check(stranger.page, name(picture))
    visitors.complaints[:] = [text for text in visitors.complaints if "404" not in text]

    person = visitors.person(size, theme=theme)
    stack.script("think: one two", "text: three four five")
    person.ask("Use something", long_thinking=True)
    person.wait_for_answer()
    person.page.goto("/settings/")
    check(person.page, name("settings"))
    person.page.goto("/settings/keys/")
    person.page.get_by_role("button", name="Create key").click()
    person.page.locator("dialog [name=name]").fill("Notebook")
    check(person.page, name("settings-dialog"))
    person.page.locator("dialog").get_by_role("button", name="Create key").click()
    person.page.locator("#secret").wait_for()
    check(person.page, name("settings-key"))
    person.page.get_by_role("button", name="Done").click()
    check(person.page, name("settings-keys"))


def test_the_drawer_and_the_notices_look_right(visitors: Visitors, stack: Stack, shots: Path) -> None:
    person = visitors.person(PHONE)
    stack.script("text: Between about 40,000 and", "error: rejected The prompt is too long for this model.")
    person.ask("And what would it cost?")
    person.wait_for_answer()
    check(person.page, shots / "error.phone.light.png")
    person.page.get_by_role("button", name="Open chats").click()
    check(person.page, shots / "drawer.phone.light.png")


def test_chinese_fits(visitors: Visitors, stack: Stack, shots: Path) -> None:
    for size in (DESKTOP, PHONE):
        person = visitors.person(size, language="zh-CN")
        name = _namer(shots, size, "light")
        check(person.page, name("empty.zh"))
        stack.script(
            "think: 两个数比较小数部分。", "text: 9.9 比 9.11 **大**。\n\n- 9.9 就是 9.90\n- 90 大于 11"
        )
        person.ask("9.11 和 9.9 哪个大？", long_thinking=True)
        person.wait_for_answer()
        check(person.page, name("answer.zh"))


@pytest.mark.parametrize("width", [320, 768])
def test_nothing_is_cut_off_at_other_widths(
    visitors: Visitors, stack: Stack, shots: Path, width: int
) -> None:
    person = visitors.person((width, 800))
    stack.script(f"text: {ANSWER}")
    person.ask("Show me everything")
    person.wait_for_answer()
    check(person.page, shots / f"answer.{width}.light.png")


def _namer(shots: Path, size: tuple[int, int], theme: str) -> Callable[[str], Path]:
    device = "desktop" if size == DESKTOP else "phone"
    return lambda state: shots / f"{state}.{device}.{theme}.png"


def test_the_chat_works_by_keyboard_alone(person: Person, stack: Stack, shots: Path) -> None:
    page = person.page
    page.keyboard.press("Shift+Tab")
    page.locator("body").press("Tab")
    person.composer.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "attach"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "long-thinking"
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.screenshot(path=shots / "keyboard.desktop.light.png")
    assert page.locator("[data-slot=effort]").inner_text() == "High"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('aria-controls')") == "effort-menu"


@pytest.mark.parametrize(
    ("size", "theme", "language"),
    [
        (DESKTOP, "light", "en-US"),
        (DESKTOP, "dark", "zh-CN"),
        (PHONE, "light", "zh-CN"),
        (PHONE, "dark", "en-US"),
    ],
    ids=["desktop-light", "desktop-dark-zh", "phone-light-zh", "phone-dark"],
)
def test_every_state_of_a_long_turn_looks_right_and_is_accessible(
    visitors: Visitors, stack: Stack, shots: Path, size: tuple[int, int], theme: str, language: str
) -> None:
    person = visitors.person(size, theme=theme, language=language)
    name = _namer(shots, size, theme)
    for state, conversation in json.loads(stack.python(SCENES.format(name=person.name))).items():
        person.page.goto(f"/c/{conversation}/")
        person.page.locator(".turn").first.wait_for()
        check(person.page, name(state))
        for summary in person.page.locator(":is(.plan, .remark, .wait__edit, .lane, .fold) > summary").all()[
            :8
        ]:
            summary.click()
        check(person.page, name(f"{state}-open"))


PANEL = """
from chat import workspaces
from tests.pages import scenes
from webapp.accounts.models import User

conversation = scenes.cited(User.objects.get(username="{name}")).conversation
workspaces.put(conversation, "site/app.js", b"start();")
workspaces.put(conversation, "site/index.html", b"<h1>Seen</h1><script>nothing.here()</script>")
print(conversation.pk)
"""


@pytest.mark.parametrize(
    ("size", "theme", "language"),
    [
        (DESKTOP, "light", "en-US"),
        (DESKTOP, "dark", "zh-CN"),
        (PHONE, "light", "zh-CN"),
        (PHONE, "dark", "en-US"),
    ],
    ids=["desktop-light", "desktop-dark-zh", "phone-light-zh", "phone-dark"],
)
def test_what_stands_beside_a_conversation_looks_right_and_is_accessible(
    visitors: Visitors, stack: Stack, shots: Path, size: tuple[int, int], theme: str, language: str
) -> None:
    person = visitors.person(size, theme=theme, language=language)
    name = _namer(shots, size, theme)
    page = person.page
    page.goto(f"/c/{stack.python(PANEL.format(name=person.name)).split()[-1]}/")
    page.locator(".cite").first.click()
    check(page, name("citation"))
    page.locator(".card:popover-open .card__more").click()
    page.locator(".source.is-current").wait_for()
    check(page, name("sources"))
    page.keyboard.press("Escape")
    page.locator("a.picture").click()
    check(page, name("picture"))
    page.keyboard.press("Escape")
    page.locator("#head a[href$='/files/']").click()
    page.locator(".tree__open").first.wait_for()
    check(page, name("files"))
    page.locator(".tree__open", has_text="index.html").click()
    page.locator(".console__line").wait_for()
    check(page, name("preview"))
    visitors.complaints.clear()  # the page's own
