"""What a person does on the pages, in their words."""

import re

from playwright.sync_api import Locator, Page, expect


class Person:
    def __init__(self, page: Page, *, name: str) -> None:
        self.page = page
        self.name = name
        self.password = f"{name}-secret-9"

    # ---- coming and going

    def sign_up(self) -> None:
        self.page.goto("/sign-up/")
        self.page.locator("[name=username]").fill(self.name)
        self.page.locator("[name=email]").fill(f"{self.name}@example.com")
        self.page.locator("[name=password]").fill(self.password)
        self.page.locator("form.section button[type=submit]").click()
        self.page.wait_for_url("**/")
        expect(self.composer).to_be_visible()

    def sign_in(self) -> None:
        self.page.locator("[name=username]").fill(self.name)
        self.page.locator("[name=password]").fill(self.password)
        self.page.locator("form.section button[type=submit]").click()

    # ---- asking

    @property
    def composer(self) -> Locator:
        return self.page.locator("#message")

    @property
    def send_button(self) -> Locator:
        return self.page.locator("#send")

    def ask(self, text: str, *, long_thinking: bool | None = None) -> None:
        """Type and press Enter; returns once the question stands in the thread."""
        if long_thinking is not None:
            self.set_long_thinking(long_thinking)
        before = self.turns.count()
        self.composer.fill(text)
        expect(self.send_button).to_be_enabled()  # the page's script is there
        self.composer.press("Enter")
        expect(self.turns).to_have_count(before + 1)

    def set_long_thinking(self, is_on: bool) -> None:
        switch = self.page.locator("#long-thinking")
        if switch.is_checked() != is_on:
            switch.click()

    def wait_for_answer(self) -> None:
        """Until the last turn is over and its tools are there."""
        expect(self.last_turn.locator(".foot")).to_be_visible()
        expect(self.page.locator("#send:not(.send--stop)")).to_be_visible()

    def wait_for_text(self, text: str) -> None:
        expect(self.last_turn.locator(".answer").last).to_contain_text(text)

    # ---- what is on the page

    @property
    def turns(self) -> Locator:
        return self.page.locator(".turn")

    @property
    def last_turn(self) -> Locator:
        return self.turns.last

    @property
    def answer(self) -> str:
        """The last turn's answer as it reads, its blanks made plain."""
        return re.sub(r"\s+", " ", " ".join(self.last_turn.locator(".answer").all_inner_texts())).strip()

    @property
    def note(self) -> Locator:
        return self.page.locator("#note")

    @property
    def conversations(self) -> list[str]:
        return self.page.locator(".sidebar__item .row__text").all_inner_texts()
