"""What is one's own, tried as people do: a thumb and why, the map, the settings, a temporary chat."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import DESKTOP, Visitors
from tests.e2e.test_look import PHONE, check
from tests.stack import Stack

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("size", "theme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_thumbs_map_and_the_ring(
    visitors: Visitors, stack: Stack, shots: Path, size: tuple[int, int], theme: str
) -> None:
    person = visitors.person(size, theme=theme)
    page = person.page
    stack.script("text: The first answer.")
    person.ask("How old is the oak?")
    person.wait_for_answer()
    person.last_turn.get_by_role("button", name="Bad answer").click()
    dialog = page.get_by_role("dialog", name="What was wrong with it?")
    dialog.get_by_label("Wrong", exact=True).check()
    dialog.get_by_label("In your words").fill("It is eighty.")
    check(page, shots / f"feedback-{size[0]}-{theme}.png")
    dialog.get_by_role("button", name="Send").click()
    expect(dialog).to_be_hidden()
    expect(person.last_turn.get_by_role("button", name="Bad answer")).to_have_attribute(
        "aria-pressed", "true"
    )
    stack.script("text: The second answer.")
    person.last_turn.get_by_role("button", name="Answer again").click()
    person.wait_for_text("The second answer.")
    person.wait_for_answer()
    expect(page.get_by_role("button", name="Context:")).to_be_visible()
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Map of this chat").click()
    check(page, shots / f"map-{size[0]}-{theme}.png")
    page.get_by_role("button", name="Version 1 of 2").click()
    person.wait_for_text("The first answer.")
    expect(page.get_by_role("dialog")).to_be_hidden()
    stack.script("text: Hello.")


@pytest.mark.parametrize(
    ("size", "theme", "language"),
    [(DESKTOP, "light", "en-US"), (PHONE, "dark", "zh-CN"), (DESKTOP, "dark", "zh-CN")],
)
def test_every_page_of_the_settings(
    visitors: Visitors, shots: Path, size: tuple[int, int], theme: str, language: str
) -> None:
    person = visitors.person(size, theme=theme, language=language)
    page = person.page
    page.goto("/settings/memory/")
    page.locator("#id_text").fill("Grows orchids.")
    page.locator("#id_text").press("Enter")
    expect(page.locator(".line")).to_have_count(1)
    page.goto("/settings/chat/presets/new/")
    page.locator("#id_name").fill("Deep work")
    page.locator("#id_thinking").select_option("high")
    page.locator("form.settings-form [type=submit]").click()
    expect(page.locator(".line")).to_have_count(1)
    for name in ("chat", "chat/presets/new", "memory", "notifications", "data"):
        page.goto(f"/settings/{name}/")
        check(page, shots / f"settings-{name.replace('/', '-')}-{size[0]}-{theme}-{language}.png")


@pytest.mark.parametrize(("size", "theme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_a_temporary_chat_leaves_nothing_in_the_list(
    visitors: Visitors, shots: Path, size: tuple[int, int], theme: str
) -> None:
    person = visitors.person(size, theme=theme)
    page = person.page
    page.get_by_role("link", name="Temporary chat").click()
    expect(page.locator("#temporary")).to_be_visible()
    check(page, shots / f"temporary-{size[0]}-{theme}.png")
    person.ask("A secret")
    person.wait_for_answer()
    expect(page.locator("#head")).to_contain_text("Temporary")
    assert person.conversations == []
    page.reload()
    expect(person.last_turn.locator(".bubble")).to_have_text("A secret")
    where = page.url
    page.get_by_role("button", name="End it").click()
    page.get_by_role("dialog").get_by_role("button", name="End it").click()
    page.wait_for_url(lambda url: url != where)
    expect(page.locator("#temporary")).to_be_hidden()
