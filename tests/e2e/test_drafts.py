"""Nothing typed is lost: on another device, in a tab that died, while the server is out of reach."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Visitors

pytestmark = pytest.mark.e2e


def test_what_is_typed_is_found_on_another_device_and_after_a_crash(visitors: Visitors) -> None:
    person = visitors.person()
    with person.page.expect_response("**/drafts/"):
        person.composer.fill("Half a thought")
    phone = visitors.stranger((390, 844))
    phone.name = person.name
    phone.password = person.password
    phone.sign_in()
    expect(phone.composer).to_have_value("Half a thought")
    with phone.page.expect_response("**/drafts/"):
        phone.composer.fill("Half a thought, and the rest")
    person.composer.press_sequentially("!")  # while the phone has written, too
    with person.page.expect_response(lambda answer: answer.url.endswith("/drafts/") and answer.ok):
        person.page.reload()
    expect(person.composer).to_have_value("Half a thought, and the rest\n\nHalf a thought!")
    person.page.context.set_offline(True)
    person.composer.fill("Typed where there is no net")
    person.page.close(run_before_unload=False)
    page = person.page.context.new_page()
    person.page.context.set_offline(False)
    person.page = page
    page.goto("/")
    expect(person.composer).to_have_value("Typed where there is no net")
    person.ask("Typed where there is no net")
    person.wait_for_answer()
    page.goto("/")
    expect(person.composer).to_have_value("")
    phone.page.reload()
    expect(phone.composer).to_have_value("")
    # A page that is cut off cannot fetch what it wants; that is all it complains of.
    visitors.complaints[:] = [one for one in visitors.complaints if "ERR_INTERNET_DISCONNECTED" not in one]
