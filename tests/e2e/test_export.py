"""A chat leaves the page: as a file from its menu, and on paper."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.person import Person
from tests.e2e.test_look import ANSWER
from tests.stack import Stack

pytestmark = pytest.mark.e2e


def test_a_chat_is_exported_and_printed(person: Person, stack: Stack, shots: Path) -> None:
    stack.script(f"text: {ANSWER}\n\n$x^2$")
    person.ask("How solid is that number?")
    person.wait_for_answer()
    for form in ("Markdown", "JSON"):
        person.page.get_by_role("button", name="More").click()
        with person.page.expect_download() as download:
            person.page.get_by_role("menuitem", name=f"Export as {form}").click()
        text = Path(download.value.path()).read_text(encoding="utf-8")
        assert "How solid is that number?" in (json.loads(text)["title"] if form == "JSON" else text)
        assert "2,644" in text

    person.page.emulate_media(media="print", color_scheme="light")
    for hidden in (".sidebar", ".topbar", ".dock", ".foot__tools"):
        expect(person.page.locator(hidden).first).to_be_hidden()
    expect(person.page.locator(".answer").first).to_be_visible()
    person.page.screenshot(path=shots / "print.png", full_page=True)
    assert person.page.pdf().startswith(b"%PDF")
