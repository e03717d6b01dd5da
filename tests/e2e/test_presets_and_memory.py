"""A preset that changes within a chat, and what is remembered across chats, as a person sees them."""

import pytest
from playwright.sync_api import expect

from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

SETUP = """
from chat.models import Preset
from webapp.accounts.models import User
user = User.objects.get(username="{name}")
for name in ("Terse", "Verse"):
    Preset.objects.create(user=user, name=name, instructions=f"Be {{name}}.")
"""
TOLD = """
from chat.models import Turn
turns = Turn.objects.filter(conversation__user__username="{name}").order_by("created_at")
print("|".join(" ".join(turn.instructions.split()) for turn in turns))
"""


def test_a_preset_changes_from_one_message_to_the_next(person: Person, stack: Stack) -> None:
    page = person.page
    stack.python(SETUP.format(name=person.name))
    page.reload()
    badge = page.locator("#head .topbar__preset")

    def choose(name: str) -> None:
        page.get_by_role("button", name="Model:").click()
        page.get_by_role("menuitemradio", name=name).click()

    for choice, shown in (("Terse", "Terse"), ("Verse", "Verse"), ("Verse", "")):
        choose(choice)
        person.ask(f"With {choice}")
        person.wait_for_answer()
        if shown:
            expect(badge).to_have_text(shown)
        else:
            expect(badge).to_have_count(0)
    page.reload()
    expect(badge).to_have_count(0)
    told = stack.python(TOLD.format(name=person.name)).strip().splitlines()[-1].split("|")
    assert [("Be Terse." in text, "Be Verse." in text) for text in told] == [
        (True, False),
        (False, True),
        (False, False),
    ]


def test_a_memory_reaches_the_next_chat_and_is_gone_when_it_is_deleted(person: Person, stack: Stack) -> None:
    page = person.page
    page.goto("/settings/memory/")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_text("Memory is on")).to_be_visible()
    page.locator("#id_text").fill("Grows orchids.")
    page.locator("#id_text").press("Enter")
    expect(page.locator(".line")).to_have_count(1)
    for is_known in (True, False):
        page.goto("/")
        person.ask("What do I grow?")
        person.wait_for_answer()
        told = stack.python(TOLD.format(name=person.name)).strip().splitlines()[-1].split("|")
        assert ("Grows orchids." in told[-1]) is is_known
        if is_known:
            page.goto("/settings/memory/")
            page.get_by_role("button", name="Delete Grows orchids.").click()
            expect(page.locator(".line")).to_have_count(0)
