"""Files with a message in a real browser: chosen, read, sent, cited; dropped, refused, kept over a reload."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from inference.backends.scripted import Reply
from tests.documents import files
from tests.e2e.conftest import Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

AXE = next((Path(__file__).parent / "vendor").glob("axe-core-*/axe.min.js"))
REPORT = files.pdf(["Lakes of the north.", "Lake Orsa is 94 m deep."])
STATE = re.compile(r"/attachments/[0-9a-f-]{36}/$")
READ_S = 60_000  # two shared cores


def attach(person: Person, *given: tuple[str, bytes]) -> None:
    chosen = [{"name": name, "mimeType": "application/octet-stream", "buffer": body} for name, body in given]
    person.page.locator("#files").set_input_files(chosen)  # type: ignore[arg-type]


def chips(person: Person) -> Locator:
    return person.page.locator("#attachments .file")


def test_a_pdf_is_attached_asked_about_and_cited(person: Person, stack: Stack) -> None:
    stack.script(Reply(lines=("think: Page two.", "text: Lake Orsa is 94 m deep [2].")))
    attach(person, ("lakes.pdf", REPORT))
    expect(chips(person)).to_contain_text("900 B", timeout=READ_S)
    person.ask("How deep is it?", long_thinking=True)
    expect(chips(person)).to_have_count(0)
    person.wait_for_answer()
    expect(person.last_turn.locator(".ask .file")).to_contain_text("lakes.pdf")
    person.page.reload()
    expect(person.last_turn).to_contain_text("lakes.pdf, p. 2")
    with person.page.expect_download() as download:
        person.last_turn.locator(".ask .file a").click()
    assert download.value.path().read_bytes() == REPORT


def test_sources_are_there_to_open_while_a_turn_works(person: Person, stack: Stack) -> None:
    stack.script(
        Reply(step=1, lines=('call: search_documents {"query": "depth of the lake"}',)),
        Reply(step=2, lines=('call: calculate {"expression": "1 + 1"}',)),
        Reply(step=3, lines=("stall:",)),
    )
    attach(person, ("lakes.pdf", REPORT))
    expect(chips(person)).to_contain_text("900 B", timeout=READ_S)
    person.ask("How deep is it?", long_thinking=True)
    sources = person.page.get_by_role("link", name=re.compile("source"))
    expect(sources).to_be_visible()
    sources.click()
    expect(person.page.locator("#panel")).to_contain_text("Lake Orsa is 94 m deep.")
    person.send_button.click()
    person.wait_for_answer()


@pytest.mark.parametrize("width", [320, 360, 390, 430])
def test_the_row_under_the_message_fits_a_phone(visitors: Visitors, width: int) -> None:
    person = visitors.person((width, 740))
    person.set_long_thinking(True)
    bar = person.page.locator(".composer__bar")
    expect(person.page.locator("#long .composer__pick")).to_be_visible()
    assert bar.evaluate("bar => bar.scrollWidth - bar.clientWidth") <= 0


def test_a_message_goes_out_by_itself_once_its_files_are_read(person: Person, stack: Stack) -> None:
    stack.script("text: Read.")
    held: list[object] = []

    def hold(route: object) -> None:
        held.append(route)
        if len(held) > 1:
            route.continue_()  # type: ignore[attr-defined]

    person.page.route(STATE, hold)
    with person.page.expect_request(STATE):
        attach(person, ("notes.txt", b"Some words."))
    expect(chips(person)).to_contain_text("Reading")
    person.composer.fill("What does it say?")
    person.composer.press("Enter")
    expect(person.note).to_contain_text("as soon as its files are read")
    assert person.turns.count() == 0
    held[0].continue_()  # type: ignore[attr-defined]
    expect(person.turns).to_have_count(1, timeout=READ_S)
    person.wait_for_answer()
    assert person.answer == "Read."


def test_a_file_that_cannot_be_read_says_why_and_blocks_nothing(person: Person, stack: Stack) -> None:
    stack.script("text: Fine.")
    locked = ("locked.pdf", files.pdf(["x"], password="y"))
    attach(person, locked)
    expect(chips(person)).to_contain_text("Locked with a password", timeout=READ_S)
    person.page.get_by_role("button", name="Remove locked.pdf").click()
    expect(chips(person)).to_have_count(0)
    expect(person.composer).to_be_focused()
    attach(person, locked, ("notes.txt", b"Some words."))
    expect(chips(person).first).to_contain_text("Locked with a password", timeout=READ_S)
    expect(chips(person).last).to_contain_text("11 B", timeout=READ_S)
    person.composer.fill("Hm?")
    person.composer.press("Enter")
    person.wait_for_answer()
    assert person.answer == "Fine."
    expect(person.page.locator(".ask [data-attachment]")).to_have_count(1)
    expect(chips(person)).to_have_count(0)


def test_files_wait_for_their_message_over_a_reload(person: Person) -> None:
    attach(person, ("notes.txt", b"Some words."))
    expect(chips(person)).to_contain_text("11 B", timeout=READ_S)
    person.page.reload()
    expect(chips(person)).to_contain_text("notes.txt")
    person.page.get_by_role("button", name="Remove notes.txt").click()
    person.page.reload()
    expect(person.composer).to_be_visible()
    expect(chips(person)).to_have_count(0)


def test_a_file_is_dropped_on_the_page_and_one_is_pasted(person: Person) -> None:
    made = person.page.evaluate_handle(
        """() => { const data = new DataTransfer();
        data.items.add(new File(["dropped words"], "dropped.txt")); return data; }"""
    )
    person.page.dispatch_event("#main", "dragenter", {"dataTransfer": made})
    expect(person.page.locator(".composer__drop")).to_be_visible()
    person.page.dispatch_event("#main", "drop", {"dataTransfer": made})
    expect(person.page.locator(".composer__drop")).to_be_hidden()
    person.page.evaluate(
        """() => { const data = new DataTransfer();
        data.items.add(new File(["pasted words"], "pasted.txt"));
        document.querySelector("#message").dispatchEvent(
          new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })); }"""
    )
    expect(chips(person)).to_have_count(2)
    expect(chips(person).first).to_contain_text("dropped.txt")
    expect(chips(person).last).to_contain_text("12 B", timeout=READ_S)


def test_what_is_too_large_is_refused_before_it_is_sent(person: Person) -> None:
    sent: list[str] = []
    person.page.on("request", lambda request: sent.append(request.url))
    person.page.evaluate(
        """() => { const file = new File(["x"], "huge.bin");
        Object.defineProperty(file, "size", { value: 2 * 1024 ** 3 });
        const event = new Event("drop", { bubbles: true, cancelable: true });
        event.dataTransfer = { types: ["Files"], files: [file, new File([], "none.txt")] };
        document.querySelector("#main").dispatchEvent(event); }"""
    )
    expect(person.note).to_contain_text("huge.bin is larger than 25 MB")
    expect(person.note).to_contain_text("none.txt is empty")
    assert not [url for url in sent if "/attachments/" in url]


@pytest.mark.parametrize(
    ("size", "theme", "language"),
    [((390, 844), "dark", "en-US"), ((360, 740), "light", "zh-CN"), ((1440, 900), "light", "en-US")],
)
def test_files_fit_every_page_and_say_what_they_are(
    visitors: Visitors, stack: Stack, tmp_path: Path, size: tuple[int, int], theme: str, language: str
) -> None:
    stack.script("text: Read [1].")
    person = visitors.person(size, theme=theme, language=language)
    long_name = "a very long name of a quarterly report that nobody would ever have typed by hand.txt"
    locked = files.pdf(["x"], password="y")
    attach(person, ("notes.txt", b"Some words."), (long_name, b"More."), ("locked.pdf", locked))
    expect(chips(person).last).to_have_class(re.compile("file--failed"), timeout=READ_S)
    expect(chips(person).first).to_contain_text("11 B", timeout=READ_S)
    person.page.screenshot(path=str(tmp_path / "composer.png"))
    assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults(person) == []
    person.ask("Go")  # what cannot be read stays behind, and blocks nothing
    person.wait_for_answer()
    expect(person.page.locator(".ask [data-attachment]")).to_have_count(2)
    person.page.screenshot(path=str(tmp_path / "sent.png"))
    assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults(person) == []


def faults(person: Person) -> list[str]:
    """What axe finds wrong with the composer and the thread."""
    person.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = person.page.evaluate("axe.run(document.querySelector('#main'))")
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found["violations"]]
