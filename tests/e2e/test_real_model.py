"""The main job on real input: `manage.py up` with the default model, and a person who asks it questions."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from inference import registry
from tests.e2e.conftest import DESKTOP
from tests.e2e.person import Person
from tests.whole_platform import Platform

MODEL = "qwen2.5-coder-1.5b"
PHONE = (390, 844)
ANSWER_WITHIN_MS = 180_000  # two shared cores

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        not registry.is_at_hand(registry.load()[MODEL], Path(os.environ["MODELS_DIR"])),
        reason=f"the model is not here: manage.py models pull {MODEL}",
    ),
]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(
        tmp_path_factory.mktemp("platform"), MODEL=MODEL, MODELS_DIR=os.environ["MODELS_DIR"], SCRIPT_FILE=""
    )
    try:
        platform.wait_until_ready()
        yield platform
    finally:
        platform.interrupt()


@pytest.fixture
def demo(platform: Platform, browser: Browser) -> Iterator[Person]:
    """The demo user, signed in with the password that the first start printed."""
    context = browser.new_context(
        base_url=platform.address, viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, locale="en-US"
    )
    [password] = re.findall(r"sign in as demo +password (\S+)", platform.said)
    person = Person(context.new_page(), name="demo")
    person.password = password
    person.page.goto("/")
    person.sign_in()
    expect(person.composer).to_be_visible()
    yield person
    context.close()


def test_a_question_is_answered_and_a_hard_one_is_thought_about_first(demo: Person, shots: Path) -> None:
    demo.ask("What is the capital of France?", long_thinking=False)
    expect(demo.last_turn.locator(".foot")).to_be_visible(timeout=ANSWER_WITHIN_MS)
    assert "Paris" in demo.answer
    expect(demo.last_turn.locator("details.reasoning")).to_have_count(0)

    demo.page.goto("/")
    demo.ask("Which one is bigger, 9.11 or 9.9?", long_thinking=True)
    reasoning = demo.last_turn.locator("details.reasoning")
    expect(reasoning.first.locator(".reasoning__label")).to_have_text("Thinking…", timeout=ANSWER_WITHIN_MS)
    expect(demo.last_turn.locator(".foot")).to_be_visible(timeout=ANSWER_WITHIN_MS)
    expect(reasoning.first.locator(".reasoning__label")).to_contain_text("Thought for")
    assert says_9_9_is_bigger(demo.answer)
    take_shots(demo.page, shots)


def says_9_9_is_bigger(answer: str) -> bool:
    if set(re.findall(r"9\.\d+", answer)) == {"9.9"}:
        return True
    claim = re.search(r"(9\.\d+) is (?:the )?(bigger|larger|greater|smaller|less)", answer)
    if claim is None:
        return False
    right = ("9.11",) if claim.group(2) in ("smaller", "less") else ("9.9", "9.90")
    return claim.group(1) in right


def take_shots(page: Page, folder: Path) -> None:
    for device, (width, height) in {"desktop": DESKTOP, "phone": PHONE}.items():
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.screenshot(path=folder / f"real-model.{device}.{theme}.png")
