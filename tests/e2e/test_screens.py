"""Every state of the product in every look: a picture of each is kept, measured and searched for barriers.

`make screens` (SCREENS=all) takes three widths in both themes; any other word takes one look a language.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from inference.backends.scripted import Reply
from tests.e2e import gallery, shown
from tests.e2e.conftest import Visitors
from tests.e2e.gallery import Gallery, Look
from tests.stack import Stack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not gallery.WANTED, reason="`make screens` takes the pictures"),
]

SAMPLES = {"en": [Look(1440, 900, "light")], "zh": [Look(390, 844, "dark")]}
LOCALES = {"en": "en-US", "zh": "zh-CN"}


class Tour:
    """A person walks through the product in one language; each stop is shown."""

    def __init__(self, visitors: Visitors, stack: Stack, shots: Path, language: str) -> None:
        looks = gallery.EVERY_LOOK if gallery.WANTED == "all" else SAMPLES[language]
        first = looks[0]
        self.visitors = visitors
        self.stack = stack
        self.words = shown.WORDS[language]
        self.person = visitors.stranger((first.width, first.height), language=LOCALES[language])
        self.page: Page = self.person.page
        self.gallery = Gallery(self.page, shots, looks, language)
        self.show = self.gallery.show

    def open(self, address: str, wait_for: str = "h1, h2") -> None:
        self.page.goto(address)
        self.page.locator(wait_for).first.wait_for(state="attached")

    def menu(self, item: str) -> None:
        """Choose from the menu of the chat."""
        self.page.locator("[aria-controls=more-menu]").click()
        self.page.locator(f"#more-menu {item}").click()

    def close(self) -> None:
        self.page.keyboard.press("Escape")
        expect(self.page.locator("dialog[open]")).to_have_count(0)

    def forgive(self, word: str) -> None:
        """What the browser says of an answer that is no success is what was wanted."""
        self.visitors.complaints[:] = [text for text in self.visitors.complaints if word not in text]


def doors(tour: Tour) -> None:
    page = tour.page
    tour.show("sign-in")
    tour.person.sign_in()
    page.locator("[role=alert]").wait_for()
    tour.show("sign-in-refused")
    for state, address in (
        ("sign-up", "/sign-up/"),
        ("password-reset", "/password/reset/"),
        ("404", "/no/"),
        ("share-gone", "/s/none/"),
    ):
        tour.open(address)
        tour.show(state)
    tour.forgive("404")
    broken = tour.stack.python(
        "from django.template.loader import render_to_string; from django.utils import translation\n"
        f"translation.activate({'zh-hans' if tour.gallery.language == 'zh' else 'en'!r})\n"
        "print(render_to_string('500.html'))"
    )
    page.route(
        "**/broken/", lambda route: route.fulfill(body=broken, content_type="text/html; charset=utf-8")
    )
    tour.open("/broken/")
    tour.show("500")


def talk(tour: Tour) -> None:
    person, page, stack, words = tour.person, tour.page, tour.stack, tour.words
    person.sign_up()
    tour.show("empty")
    page.locator("[aria-controls=model-menu]").click()
    tour.show("empty-models")
    page.keyboard.press("Escape")
    person.set_long_thinking(True)
    tour.show("empty-on")
    page.locator("[aria-controls=effort-menu]").click()
    tour.show("empty-menu")
    page.keyboard.press("Escape")

    stack.script("pace: 25", f"think: {words['thought']}", "pace: 0", "stall:")
    person.ask(words["question"])
    person.last_turn.locator(".reasoning__preview").wait_for()
    tour.show("thinking")
    person.last_turn.locator(".reasoning summary").click()
    expect(person.last_turn.locator(".reasoning__body p")).to_have_count(2)
    tour.show("thinking-open")
    person.composer.fill(words["question"])
    page.keyboard.press("Enter")
    page.locator(".queue__row").wait_for()
    tour.show("queued")
    page.locator(".queue__row [value=remove]").click()
    expect(page.locator(".queue__row")).to_have_count(0)
    person.send_button.click()
    person.wait_for_answer()
    tour.show("stopped")


def answers(tour: Tour) -> None:
    person, page, stack, words = tour.person, tour.page, tour.stack, tour.words
    person.sign_up()
    stack.script(f"text: {words['thought']}")
    person.ask(words["question"], long_thinking=True)
    person.wait_for_answer()
    begun, _, _ = words["answer"].partition("print(")
    stack.script(f"think: {words['thought']}", f"text: {begun}", "stall:")
    person.last_turn.locator("[data-action=regenerate]").click()
    expect(person.last_turn.locator(".answer .code")).to_be_visible()
    page.locator("#scroller").evaluate("e => e.scrollTo(0, e.scrollHeight)")
    tour.show("answering")
    person.send_button.click()
    person.wait_for_answer()
    stack.script(f"think: {words['thought']}", f"text: {words['answer']}")
    person.last_turn.locator("[data-action=regenerate]").click()
    expect(person.last_turn.locator(".answer a").last).to_be_visible()
    person.wait_for_answer()
    expect(person.last_turn.locator(".katex")).to_have_count(2)
    page.locator("#scroller").evaluate("e => e.scrollTo(0, 0)")
    tour.show("answer")
    page.locator("#scroller").evaluate("e => e.scrollTo(0, e.scrollHeight)")
    tour.show("answer-end")
    page.locator("#scroller").evaluate("e => e.scrollTo(0, 0)")
    person.last_turn.locator("[data-action=edit]").click()
    person.last_turn.locator(".edit textarea").wait_for()
    tour.show("edit")
    page.keyboard.press("Escape")
    tour.menu("[hx-get$='/map/']")
    page.locator("dialog[open]").wait_for()
    tour.show("map")
    tour.close()
    person.last_turn.locator(".thumbs button").last.click()
    page.locator("dialog[open]").wait_for()
    tour.show("feedback")
    tour.close()
    tour.menu("[hx-get$='/share/']")
    page.locator("dialog[open]").wait_for()
    tour.show("share-dialog")
    page.locator("dialog[open] [type=submit]").click()
    link = page.locator("#shared-link").inner_text()
    tour.show("share-made")
    tour.open(link, ".bubble")
    tour.show("share")
    tour.open("/settings/links/")
    tour.show("settings-links")


def ends(tour: Tour) -> None:
    person, page, stack, words = tour.person, tour.page, tour.stack, tour.words
    person.sign_up()
    stack.script(f"text: {words['thought'][:40]}", "error: rejected The prompt is too long for this model.")
    person.ask(words["question"])
    person.wait_for_answer()
    tour.show("error")
    stack.script(
        *(
            Reply(
                step=n, lines=(f"think: {words['thought']}", f'call: calculate {{"expression": "{n} * 7"}}')
            )
            for n in range(1, 13)
        ),
        Reply(step=13, lines=(f"think: {words['thought']}", "stall:")),
    )
    tour.open("/", "#message")
    person.ask(words["question"], long_thinking=True)
    expect(person.last_turn.locator(".strip__step")).to_have_count(13)
    tour.show("run-live")
    stack.kill("web")
    page.locator("#connection:not([hidden])").wait_for()
    tour.show("offline")
    stack.start_part("web")
    stack.wait_until_served()
    expect(page.locator("#connection")).to_be_hidden(timeout=60_000)
    tour.forgive("ERR_CONNECTION_REFUSED")
    person.last_turn.locator("[data-action=stop]").first.click()
    person.wait_for_answer()


def turns(tour: Tour) -> None:
    person, page = tour.person, tour.page
    person.sign_up()
    opened = json.loads(tour.stack.python(shown.SCENES.format(name=person.name)))
    cited = opened.pop("cited")
    for state, conversation in opened.items():
        tour.open(f"/c/{conversation}/", ".turn")
        tour.show(state)
        if state == "limit":
            page.locator("#scroller").evaluate("e => e.scrollTo(0, 0)")
            tour.show("run-folded")
        for summary in page.locator(":is(.plan, .remark, .wait__edit, .lane, .fold) > summary").all()[:8]:
            summary.click()
        tour.show(f"{state}-open")
    tour.open(f"/c/{opened['limit']}/", ".turn")
    page.locator(".fold .call > summary").first.click()
    page.locator("#panel .panel__title").wait_for()
    tour.show("run-step")
    tour.open(f"/c/{cited}/", ".turn")
    page.locator(".cite").first.click()
    tour.show("citation")
    page.locator(".card:popover-open .card__more").click()
    page.locator(".source.is-current").wait_for()
    tour.show("sources")
    page.keyboard.press("Escape")
    page.locator("a.picture").click()
    tour.show("picture")
    page.keyboard.press("Escape")
    page.locator("#head a[href$='/files/']").click()
    page.locator(".tree__open").first.wait_for()
    tour.show("files")
    page.locator(".tree__open", has_text="index.html").click()
    page.locator(".console__line").wait_for()
    tour.show("preview")
    tour.visitors.complaints.clear()  # the framed page's own


def shelves(tour: Tour) -> None:
    person, page, stack, words = tour.person, tour.page, tour.stack, tour.words
    person.sign_up()
    stack.script(f"text: {words['answer']}")
    person.ask(words["question"])
    person.wait_for_answer()
    tour.menu("[hx-get$='/organise/']")
    page.locator("#id_folder").fill("Urban heat 城市")
    page.locator("#id_tags").fill("trees, 城市")
    tour.show("organise")
    page.locator("#layer button[type=submit]").click()
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.keyboard.press("Control+k")
    page.locator(".palette .hit").first.wait_for()
    tour.show("palette")
    page.keyboard.type("numpy")
    expect(page.locator(".palette mark").first).to_be_visible()
    tour.show("palette-hits")
    page.keyboard.press("Control+a")
    page.keyboard.type("zzzzz")
    expect(page.locator(".palette mark")).to_have_count(0)
    tour.show("palette-none")
    tour.close()
    page.locator("#new-chat").evaluate("e => e.blur()")
    page.locator("#scroller").focus()
    page.keyboard.press("?")
    page.locator("dialog[open] .keys").wait_for()
    tour.show("keys")
    tour.close()
    for state, address in (
        ("search", "/search/?q=numpy"),
        ("search-none", "/search/?q=needle"),
        ("archive", "/archive/"),
    ):
        tour.open(address)
        tour.show(state)
    folder = page.locator(".sidebar [href^='/folders/']").get_attribute("href")
    tour.open(str(folder))
    tour.show("folder")
    drawer = page.locator("[data-sidebar=show]")
    page.set_viewport_size({"width": 390, "height": 844})
    drawer.click()
    narrow = [look for look in tour.gallery.looks if look.width == 390] or [Look(390, 844, "light")]
    tour.gallery.looks, kept = narrow, tour.gallery.looks
    tour.show("drawer")
    tour.gallery.looks = kept
    tour.open("/", "#message")
    page.locator("[href*='temporary'], [data-temporary]").first.click()
    page.locator("#temporary").wait_for()
    tour.show("temporary")


def settings(tour: Tour) -> None:
    person, page, stack, words = tour.person, tour.page, tour.stack, tour.words
    person.sign_up()
    stack.script(f"think: {words['thought']}", f"text: {words['answer']}")
    person.ask(words["question"], long_thinking=True)
    person.wait_for_answer()
    tour.open("/settings/memory/")
    page.locator("#id_text").fill("Grows orchids. 养兰花。")
    page.locator("#id_text").press("Enter")
    page.locator(".line").wait_for()
    tour.open("/settings/chat/presets/new/")
    page.locator("#id_name").fill("Deep work")
    page.locator("#id_thinking").select_option("high")
    tour.show("settings-preset")
    page.locator("form.settings-form [type=submit]").click()
    page.locator(".line").wait_for()
    for name in ("", "chat/", "memory/", "notifications/", "data/", "import/"):
        tour.open(f"/settings/{name}")
        tour.show(f"settings-{name.strip('/') or 'general'}")
    tour.open("/settings/keys/")
    page.locator("[hx-get$='/keys/create/'], [href$='/keys/create/']").first.click()
    page.locator("dialog [name=name]").fill("Notebook")
    tour.show("settings-dialog")
    page.locator("dialog [type=submit]").click()
    page.locator("#secret").wait_for()
    tour.show("settings-key")
    tour.open("/settings/keys/")
    tour.show("settings-keys")


def office(tour: Tour) -> None:
    person, page = tour.person, tour.page
    person.sign_up()
    team = tour.stack.python(shown.OFFICE.format(name=person.name)).split()[-1]
    tour.open("/settings/teams/")
    tour.show("teams")
    tour.open(f"/settings/teams/{team}/")
    tour.show("team")
    for name in ("", "turns/", "workers/", "money/", "prices/dry-run/"):
        tour.open(f"/{'dashboard'}/{name}")
        tour.show(f"admin-{name.replace('/', '-').strip('-') or 'usage'}")
    page.wait_for_load_state()


PARTS: list[Callable[[Tour], None]] = [doors, talk, answers, ends, turns, shelves, settings, office]


@pytest.fixture(scope="module")
def screens(shots: Path) -> Path:
    folder = shots / "screens"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_state_looks_right_and_has_no_barrier(
    visitors: Visitors, stack: Stack, screens: Path, part: Callable[[Tour], None], language: str
) -> None:
    tour = Tour(visitors, stack, screens, language)
    part(tour)
    tour.gallery.verdict()
