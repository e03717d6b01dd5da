"""Twelve tasks of a new user, once by keys alone, once by taps alone; tests/README.md lists them."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from inference.backends.scripted import Reply
from tests.e2e.conftest import DESKTOP, Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PHONE = (390, 844)
MOST_TABS = 150
CITED = """
from tests.pages import scenes
from webapp.accounts.models import User
print(scenes.cited(User.objects.get(username="{name}")).conversation_id)
"""
HAS_FOCUS = "(element) => element === document.activeElement"


class Keys:
    """Presses keys, and nothing else."""

    size = DESKTOP

    def __init__(self, page: Page) -> None:
        self.page = page

    def reach(self, target: Locator) -> None:
        expect(target).to_be_visible()
        for _ in range(MOST_TABS):
            if target.evaluate(HAS_FOCUS):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not lead to {target}")

    def press(self, target: Locator) -> None:
        self.reach(target)
        self.page.keyboard.press("Enter")

    def switch(self, target: Locator) -> None:
        self.reach(target)
        self.page.keyboard.press("Space")

    def write(self, target: Locator, text: str) -> None:
        self.reach(target)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def choose(self, button: Locator, item: Locator) -> None:
        """An item of the menu that the button opens."""
        self.press(button)
        expect(item).to_be_visible()
        for _ in range(20):
            if item.evaluate(HAS_FOCUS):
                break
            self.page.keyboard.press("ArrowDown")
        self.page.keyboard.press("Enter")

    def search(self) -> None:
        self.page.keyboard.press("Control+k")

    def leave(self) -> None:
        self.page.keyboard.press("Escape")


class Thumbs:
    """Taps what is large enough for it; the phone's keyboard types."""

    size = PHONE

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, target: Locator) -> None:
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24, f"{target} is too small for a thumb: {box}"
        target.tap()

    def switch(self, target: Locator) -> None:
        target.tap()

    def write(self, target: Locator, text: str) -> None:
        target.tap()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def choose(self, button: Locator, item: Locator) -> None:
        self.press(button)
        self.press(item)

    def search(self) -> None:
        self.press(self.page.get_by_role("button", name="Open chats"))
        self.press(self.page.locator("#search"))

    def leave(self) -> None:
        self.page.keyboard.press("Escape")


Hand = Keys | Thumbs


def signs_in(person: Person, hand: Hand, stack: Stack) -> None:
    page = person.page
    page.goto("/sign-in/")
    hand.write(page.locator("[name=username]"), person.name)
    hand.write(page.locator("[name=password]"), person.password)
    hand.press(page.locator("form.section button[type=submit]"))
    expect(person.composer).to_be_visible()


def asks_and_reads(person: Person, hand: Hand, stack: Stack) -> None:
    stack.script("text: The oak is eighty years old.")
    say(person, hand, "How old is the oak?")
    person.wait_for_answer()
    person.wait_for_text("eighty years")


def thinks_long_within_a_budget(person: Person, hand: Hand, stack: Stack) -> None:
    page = person.page
    stack.script(
        Reply(when="Go on", step=1, lines=("text: And here is the rest.",)),
        Reply(step=1, lines=("think: First this.", 'call: calculate {"expression": "1 + 1"}')),
        Reply(step=2, lines=("text: So far: two.",)),
    )
    hand.switch(page.locator("#long-thinking"))
    hand.press(page.locator("[aria-controls=effort-menu]"))
    hand.write(page.get_by_label("Steps").first, "1")
    page.keyboard.press("Tab")
    hand.leave()
    say(person, hand, "Count")
    person.wait_for_answer()
    expect(person.last_turn.locator(".notice__title")).to_contain_text("limit of 1 step")


def goes_on_after_the_limit(person: Person, hand: Hand, stack: Stack) -> None:
    before = person.turns.count()
    hand.press(person.last_turn.locator(".choice--primary"))
    expect(person.turns).to_have_count(before + 1)
    person.wait_for_answer()
    person.wait_for_text("here is the rest")


def opens_a_step(person: Person, hand: Hand, stack: Stack) -> None:
    page = person.page
    row = page.locator(".call > summary").first
    hand.press(row)
    expect(page.locator("#panel .panel__title")).to_be_visible()
    expect(page.locator("#panel #call-input")).to_contain_text("1 + 1")
    hand.press(page.locator("#panel [data-close-panel]"))
    expect(page.locator("#panel .panel__title")).to_have_count(0)
    if isinstance(hand, Keys):
        page.keyboard.press("k")
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def stops(person: Person, hand: Hand, stack: Stack) -> None:
    new_chat(person, hand)
    stack.script("text: It begins", "stall:")
    say(person, hand, "Tell me a long story")
    person.wait_for_text("It begins")
    hand.press(person.send_button)
    person.wait_for_answer()


def edits_and_goes_back(person: Person, hand: Hand, stack: Stack) -> None:
    stack.script("text: A short one.")
    hand.press(person.last_turn.locator("[data-action=edit]"))
    hand.write(person.last_turn.locator(".edit textarea"), "Tell me a short story")
    hand.press(person.last_turn.locator(".edit [type=submit]"))
    person.wait_for_text("A short one.")
    person.wait_for_answer()
    hand.press(person.page.get_by_role("button", name="Previous version"))
    person.wait_for_text("It begins")


def approves_a_call(person: Person, hand: Hand, stack: Stack) -> None:
    new_chat(person, hand)
    stack.script(
        Reply(step=1, lines=('call: recall {"what": "the first figure"}',)),
        Reply(step=2, lines=("text: Done with it.",)),
    )
    say(person, hand, "Look it up")
    hand.press(person.last_turn.get_by_role("button", name="Let it run"))
    person.wait_for_answer()
    person.wait_for_text("Done with it.")


def follows_a_source_and_returns(person: Person, hand: Hand, stack: Stack) -> None:
    page = person.page
    page.goto(f"/c/{stack.python(CITED.format(name=person.name)).split()[-1]}/")
    hand.press(page.locator(".cite").first)
    hand.press(page.locator(".card:popover-open .card__more"))
    current = page.locator(".source.is-current")
    expect(current).to_be_visible()
    hand.press(current.locator(".source__back [data-goto]").first)
    expect(page.locator(".answer .cite").first).to_be_in_viewport()


def finds_an_old_message(person: Person, hand: Hand, stack: Stack) -> None:
    page = person.page
    hand.search()
    expect(page.locator("#palette-words")).to_be_focused()
    page.keyboard.type("eighty")
    expect(page.locator(".palette .hit[aria-selected=true]")).to_contain_text("eighty")
    if isinstance(hand, Keys):
        page.keyboard.press("Enter")
    else:
        hand.press(page.locator(".palette .hit[aria-selected=true]"))
    page.wait_for_url(re.compile(r"/c/.+#turn-"))
    expect(page.locator(".answer", has_text="eighty years old")).to_be_in_viewport()


def shares_and_revokes(person: Person, hand: Hand, stack: Stack) -> None:
    page = person.page
    hand.choose(page.locator("[aria-controls=more-menu]"), page.get_by_role("menuitem", name="Share"))
    hand.press(page.get_by_role("button", name="Make a link"))
    link = page.locator("#shared-link").inner_text()
    assert page.request.get(link).ok
    hand.leave()
    page.goto("/settings/links/")
    hand.press(page.get_by_role("button", name="Revoke"))
    expect(page.get_by_role("status")).to_contain_text("leads nowhere")
    assert page.request.get(link).status == 404


def changes_theme_and_language(person: Person, hand: Hand, stack: Stack) -> None:
    page = person.page
    page.goto("/settings/")
    for words, done in (("dark", "html[data-theme=dark]"), ("中文", "html[lang=zh-Hans]")):
        hand.search()
        expect(page.locator("#palette-words")).to_be_focused()
        page.keyboard.type(words)
        chosen = page.locator(".palette .hit[aria-selected=true][data-do]")
        expect(chosen).to_be_visible()
        if isinstance(hand, Keys):
            page.keyboard.press("Enter")
        else:
            hand.press(chosen)
        expect(page.locator(done)).to_have_count(1)


TASKS: tuple[Callable[[Person, Hand, Stack], None], ...] = (
    signs_in,
    asks_and_reads,
    thinks_long_within_a_budget,
    goes_on_after_the_limit,
    opens_a_step,
    stops,
    edits_and_goes_back,
    approves_a_call,
    follows_a_source_and_returns,
    finds_an_old_message,
    shares_and_revokes,
    changes_theme_and_language,
)


def say(person: Person, hand: Hand, text: str) -> None:
    before = person.turns.count()
    hand.write(person.composer, text)
    expect(person.send_button).to_be_enabled()
    if isinstance(hand, Keys):
        person.page.keyboard.press("Enter")
    else:
        hand.press(person.send_button)
    expect(person.turns).to_have_count(before + 1)


def new_chat(person: Person, hand: Hand) -> None:
    page = person.page
    if isinstance(hand, Keys):
        page.keyboard.press("Control+Shift+O")
    else:
        hand.press(page.get_by_role("button", name="Open chats"))
        hand.press(page.locator("#new-chat"))
    expect(person.turns).to_have_count(0)


@pytest.mark.parametrize("hands", [Keys, Thumbs], ids=["keys", "thumbs"])
def test_every_task_is_done_by_keys_alone_and_by_taps_alone(
    visitors: Visitors, stack: Stack, hands: type[Keys] | type[Thumbs]
) -> None:
    person = visitors.person(hands.size)
    person.page.context.clear_cookies()
    hand = hands(person.page)
    for task in TASKS:
        task(person, hand, stack)
    visitors.complaints[:] = [text for text in visitors.complaints if "404" not in text]
