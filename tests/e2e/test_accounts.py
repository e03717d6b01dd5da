"""Coming in, going out, and the settings, in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e


def test_a_stranger_signs_up_out_and_in_again(visitors: Visitors) -> None:
    person = visitors.stranger()
    person.sign_up()
    person.page.get_by_role("link", name="Settings").click()
    person.page.get_by_role("button", name="Sign out").click()
    person.page.wait_for_url("**/sign-in/")
    person.sign_in()
    expect(person.composer).to_be_visible()


def test_a_wrong_password_says_so_and_keeps_the_name(visitors: Visitors) -> None:
    person = visitors.stranger()
    person.sign_in()
    expect(person.page.get_by_role("alert")).to_contain_text("No account has this name and password")
    expect(person.page.locator("[name=username]")).to_have_value(person.name)


def test_the_theme_and_the_language_are_chosen_in_the_settings(person: Person) -> None:
    page = person.page
    page.goto("/settings/")
    page.get_by_role("radio", name="Dark").check(force=True)
    page.get_by_label("Language").select_option("zh-hans")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page.get_by_role("heading", name="设置")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"


def test_a_key_is_shown_once_and_can_be_revoked(person: Person) -> None:
    page = person.page
    page.goto("/settings/keys/")
    page.get_by_role("button", name="Create key").click()
    page.locator("dialog [name=name]").fill("Thesis scripts")
    page.locator("dialog").get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    assert secret.startswith("sk-")
    page.get_by_role("button", name="Done").click()
    expect(page.locator("#key-list")).to_contain_text("Thesis scripts")
    page.reload()
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke Thesis scripts").click()
    page.locator("dialog").get_by_role("button", name="Revoke").click()
    expect(page.locator("#key-list")).to_contain_text("No key yet")


def test_usage_is_counted_on_the_settings_page(person: Person, stack: Stack) -> None:
    stack.script("text: one two three")
    person.ask("Count")
    person.wait_for_answer()
    person.page.goto("/settings/keys/")
    row = person.page.locator("table.table tbody tr").last
    expect(row).to_contain_text("scripted")
    expect(row.locator("td").nth(1)).to_have_text("1")


def test_a_forgotten_password_is_reset_by_the_link_in_the_mail(visitors: Visitors, stack: Stack) -> None:
    person = visitors.person()
    page = visitors.stranger().page
    page.get_by_role("link", name="Forgot it?").click()
    page.locator("[name=email]").fill(f"{person.name}@example.com")
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="Look in your mail")).to_be_visible()
    mail = (stack.folder / "web.log").read_text()  # the console is where mail goes by default
    page.goto(re.findall(r"/password/reset/\S+/\S+/", mail)[-1])
    for field in ("new_password1", "new_password2"):
        page.locator(f"[name={field}]").fill("another-secret-9")
    page.get_by_role("button", name="Set the password").click()
    page.get_by_role("link", name="Sign in").click()
    person.password = "another-secret-9"
    returned = Person(page, name=person.name)
    returned.password = person.password
    returned.sign_in()
    expect(returned.composer).to_be_visible()
