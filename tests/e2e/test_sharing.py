"""A chat is shared, read by a stranger on a page of its own, gone on with, and taken back."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import DESKTOP, Visitors
from tests.e2e.test_look import ANSWER as PROSE
from tests.e2e.test_look import PHONE, THOUGHT, check
from tests.stack import Stack

pytestmark = pytest.mark.e2e

ANSWER = PROSE + "\n\n$$\nD_c = m_c \\, P_c \\left(1 - e^{-\\beta_c \\, \\Delta T_c}\\right)\n$$"


@pytest.mark.parametrize(
    ("size", "theme", "language"),
    [
        (DESKTOP, "light", "en-US"),
        (PHONE, "dark", "zh-CN"),
        (DESKTOP, "dark", "en-US"),
        (PHONE, "light", "en-US"),
    ],
)
def test_a_shared_chat_from_link_to_copy(
    visitors: Visitors, stack: Stack, shots: Path, size: tuple[int, int], theme: str, language: str
) -> None:
    def shot(state: str) -> Path:
        return shots / f"share-{state}-{size[0]}-{theme}.png"

    sharer = visitors.person(size, theme=theme)
    stack.script(f"think: {THOUGHT}", f"text: {ANSWER}")
    sharer.ask("How solid is that number?", long_thinking=True)
    sharer.wait_for_answer()
    sharer.page.get_by_role("button", name="More").click()
    sharer.page.get_by_role("menuitem", name="Share").click()
    sharer.page.get_by_label("With the reasoning").check()
    check(sharer.page, shot("dialog"))
    sharer.page.get_by_role("button", name="Make a link").click()
    link = sharer.page.locator("#shared-link").inner_text()
    check(sharer.page, shot("made"))

    reader = visitors.stranger(size, theme=theme, language=language)
    reader.page.context.clear_cookies()
    reader.page.goto(link)
    expect(reader.page.locator(".bubble")).to_have_text("How solid is that number?")
    reader.page.locator(".answer .formula").scroll_into_view_if_needed()
    expect(reader.page.locator(".answer .katex")).to_have_count(1)
    expect(reader.page.locator(".code button")).to_have_count(1)
    assert reader.page.context.cookies() == []
    check(reader.page, shot("page"))

    other = visitors.person(size, theme=theme)
    other.page.goto(link)
    other.page.get_by_role("button", name="Continue in my chats").click()
    expect(other.last_turn.locator(".bubble")).to_have_text("How solid is that number?")
    stack.script("text: It goes on.")
    other.ask("Go on")
    other.wait_for_text("It goes on.")

    sharer.page.goto("/settings/links/")
    check(sharer.page, shot("links"))
    sharer.page.get_by_role("button", name="Revoke").click()
    expect(sharer.page.get_by_role("status")).to_contain_text("leads nowhere")
    assert reader.page.request.get(link).status == 404
