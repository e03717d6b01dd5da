"""Search and the palette as a person uses them: by keyboard alone, wide and narrow, in both themes."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import DESKTOP, Visitors
from tests.e2e.person import Person
from tests.e2e.test_look import PHONE, check
from tests.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
LOOKS = pytest.mark.parametrize(
    ("size", "theme", "language"),
    [
        (DESKTOP, "light", "en-US"),
        (DESKTOP, "dark", "zh-CN"),
        (PHONE, "light", "zh-CN"),
        (PHONE, "dark", "en-US"),
    ],
    ids=["desktop-light", "desktop-dark-zh", "phone-light-zh", "phone-dark"],
)
TREES = "Going from 8 % to 30 % in Barcelona means **canopy** over a third of the roads."
HEAT = "城市热岛：与浅色屋顶相比，tree canopy 在夜间的降温作用更弱。"


def talk(person: Person, stack: Stack) -> None:
    """Two chats that speak of canopies."""
    for question, answer in (("树冠还是屋顶？", HEAT), ("How much tree cover is enough?", TREES)):
        person.page.goto("/")
        stack.script(f"text: {answer}")
        person.ask(question)
        person.wait_for_answer()


@LOOKS
def test_search_looks_right_and_is_accessible(
    visitors: Visitors, stack: Stack, shots: Path, size: tuple[int, int], theme: str, language: str
) -> None:
    person = visitors.person(size, theme=theme, language=language)
    page = person.page
    talk(person, stack)
    kind = f"{'desktop' if size == DESKTOP else 'phone'}.{theme}.{language[:2]}"
    page.keyboard.press("Control+k")
    expect(page.locator(".palette .hit").first).to_be_visible()
    check(page, shots / f"palette.{kind}.png")
    page.keyboard.type("canopy")
    expect(page.locator(".palette mark").first).to_have_text("canopy")
    check(page, shots / f"palette-hits.{kind}.png")
    page.keyboard.press("Escape")
    page.goto("/search/?q=canopy")
    expect(page.locator(".hit")).to_have_count(2)
    check(page, shots / f"search.{kind}.png")
    page.goto("/search/?q=needle")
    check(page, shots / f"search-none.{kind}.png")


def test_a_message_is_found_and_opened_by_keyboard_alone(person: Person, stack: Stack) -> None:
    talk(person, stack)
    page = person.page
    page.goto("/settings/")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-words")).to_be_focused()
    page.keyboard.type("屋顶")
    options = page.locator(".palette .hit[aria-selected=true]")
    expect(options).to_contain_text("树冠还是屋顶")
    page.keyboard.press("ArrowDown")
    expect(options).to_have_attribute("id", "message-hit-1")
    page.keyboard.press("Tab")  # the focus stays in the dialog
    assert page.evaluate(
        "document.activeElement.closest('dialog') !== null || document.activeElement === document.body"
    )
    page.locator("#palette-words").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/c/.+/#turn-"))
    expect(person.last_turn).to_be_visible()
    expect(person.last_turn.locator(".answer")).to_contain_text("浅色屋顶")


def test_the_palette_gives_the_focus_back_and_does_what_it_offers(person: Person) -> None:
    page = person.page
    person.composer.focus()
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-words")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".palette")).to_have_count(0)
    expect(person.composer).to_be_focused()
    for words, done in (("long think", "#long-thinking:checked"), ("dark", "html[data-theme=dark]")):
        page.keyboard.press("Control+k")
        page.locator("#palette-words").fill(words)
        expect(page.locator(".palette .hit[aria-selected=true]")).to_have_attribute(
            "data-do", re.compile(".")
        )
        page.keyboard.press("Enter")
        expect(page.locator(done)).to_have_count(1)
    page.reload()
    expect(page.locator("html[data-theme=dark]")).to_have_count(1)
    page.keyboard.press("Control+k")
    page.locator("#palette-words").fill("中文")
    expect(page.locator(".palette .hit[aria-selected=true]")).to_have_attribute("data-value", "zh-hans")
    page.keyboard.press("Enter")
    expect(page.locator("html[lang=zh-Hans]")).to_have_count(1)


def test_a_question_mark_lists_the_keys_but_not_while_typing(person: Person) -> None:
    page = person.page
    person.composer.press("?")
    expect(person.composer).to_have_value("?")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.locator("#new-chat").focus()
    page.keyboard.press("?")
    expect(page.locator("dialog[open] .keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#new-chat")).to_be_focused()


def test_a_hit_further_up_is_scrolled_to(person: Person, stack: Stack) -> None:
    stack.script("text: " + "A long answer.\n\n" * 60)
    for question in ("needle first", "second", "third"):
        person.ask(question)
        person.wait_for_answer()
    page = person.page
    page.goto("/search/?q=needle")
    page.locator(".hit", has=page.locator(".hit__snippet")).click()
    page.wait_for_url(re.compile("#turn-"))
    expect(person.turns.first.locator(".bubble")).to_be_in_viewport()
    expect(person.turns.last.locator(".bubble")).not_to_be_in_viewport()


def test_without_script_the_search_is_a_form(visitors: Visitors, person: Person, stack: Stack) -> None:
    talk(person, stack)
    context = visitors.browser.new_context(
        base_url=stack.url, java_script_enabled=False, storage_state=person.page.context.storage_state()
    )
    visitors.contexts.append(context)
    page = context.new_page()
    page.goto("/")
    page.locator("#search").click()
    page.locator("#search-words").fill("canopy")
    page.locator("#search-words").press("Enter")
    page.locator(".hit").first.click()
    expect(page.locator(".answer").first).to_contain_text("canopy")


@LOOKS
def test_chats_are_kept_in_order_and_every_page_of_it_is_accessible(
    visitors: Visitors, stack: Stack, shots: Path, size: tuple[int, int], theme: str, language: str
) -> None:
    person = visitors.person(size, theme=theme, language=language)
    page = person.page
    talk(person, stack)
    kind = f"{'desktop' if size == DESKTOP else 'phone'}.{theme}.{language[:2]}"
    more = page.locator("[aria-controls=more-menu]")
    more.click()
    page.locator("#more-menu [hx-post$='/pin/']").click()
    expect(page.locator("#more-menu [hx-vals*='0']")).to_have_count(1)  # the menu offers the way back
    more.click()
    page.locator("#more-menu [hx-get$='/organise/']").click()
    page.locator("#id_folder").fill("Urban heat")
    page.locator("#id_tags").fill("trees, 城市")
    check(page, shots / f"organise.{kind}.png")
    page.locator("#layer button[type=submit]").click()
    expect(page.locator("dialog[open]")).to_have_count(0)
    if size == PHONE:
        page.locator("[data-sidebar=show]").click()
    expect(page.locator(".sidebar [href^='/folders/']")).to_contain_text("Urban heat")
    check(page, shots / f"sidebar.{kind}.png")
    page.locator(".sidebar [href^='/folders/']").click()
    expect(page.locator("main .hit")).to_have_count(1)
    check(page, shots / f"folder.{kind}.png")
    page.locator("main .hit").click()
    more.click()
    page.locator("#more-menu [hx-post$='/archive/']").click()
    expect(page.locator(".sidebar [href^='/folders/']")).to_contain_text("0")
    page.goto("/archive/")
    expect(page.locator("main .hit")).to_have_count(1)
    check(page, shots / f"archive.{kind}.png")
    page.locator("main .shelf__row button").click()
    page.wait_for_url("**/c/**")
