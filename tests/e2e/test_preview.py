"""Pages that a model made are seen running beside the conversation, and reach nothing but the eye."""

import json
import socket
from pathlib import Path

import pytest
from playwright.sync_api import FrameLocator, Locator, expect

from inference.backends.scripted import Reply
from tests import services
from tests.e2e.conftest import Visitors
from tests.e2e.listener import Listener
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

PAGES = Path(__file__).parent / "previewed"


@pytest.fixture
def conversation(person: Person, stack: Stack) -> str:
    """The id of a conversation that the person has open, its work folder empty."""
    person.ask("Make me something")
    person.wait_for_answer()
    return person.page.url.rstrip("/").rpartition("/")[2]


PIXEL = """(canvas, [x, y]) => {
  const copy = document.createElement("canvas").getContext("2d");
  copy.canvas.width = canvas.width;
  copy.canvas.height = canvas.height;
  copy.drawImage(canvas, 0, 0);
  return [...copy.getImageData(x * canvas.width, y * canvas.height, 1, 1).data];
}"""


def put(stack: Stack, conversation: str, files: dict[str, str]) -> None:
    """Files into its folder, by their paths."""
    stack.python(
        "import json\nfrom chat import workspaces\nfrom chat.models import Conversation\n"
        f"conversation = Conversation.objects.get(pk='{conversation}')\n"
        f"for name, text in json.loads({json.dumps(json.dumps(files))}).items():\n"
        "    workspaces.put(conversation, name, text.encode())"
    )


def read(folder: str) -> dict[str, str]:
    """The files of one of the folders beside this one, or one file."""
    place = PAGES / folder
    paths = [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place]
    start = place if place.is_dir() else PAGES
    return {path.relative_to(start).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def show(person: Person, path: str) -> FrameLocator:
    """The frame with this file running in the panel."""
    person.page.get_by_role("link", name="Files", exact=True).click()
    person.page.locator(".panel .tree__open", has_text=path).click()
    expect(panel(person).locator(".panel__title")).to_contain_text(path)
    return person.page.frame_locator(".panel .preview__frame")


def panel(person: Person) -> Locator:
    return person.page.locator("#panel")


def test_a_text_editor_of_several_files_is_seen_running(
    person: Person, stack: Stack, conversation: str
) -> None:
    put(stack, conversation, read("editor"))
    frame = show(person, "index.html")
    frame.locator("#page").click()
    person.page.keyboard.type("Three small words")
    expect(frame.locator("#count")).to_have_text("3 words")
    frame.locator("#page").press("Control+A")
    frame.locator("#bold").click()
    expect(frame.locator("#page b")).to_have_text("Three small words")
    border = frame.locator("#page").evaluate("e => getComputedStyle(e).borderTopColor")
    assert border == "rgb(1, 2, 3)"
    expect(panel(person).locator(".console")).to_be_hidden()


def test_a_voxel_scene_is_drawn_with_no_network(person: Person, stack: Stack, conversation: str) -> None:
    put(stack, conversation, read("voxels.html"))
    frame = show(person, "voxels.html")
    expect(frame.locator("body")).to_have_attribute("data-done", "yes")
    assert frame.locator("canvas").evaluate(PIXEL, [0.5, 0.5]) == [0, 255, 0, 255]  # a cube
    assert frame.locator("canvas").evaluate(PIXEL, [0.02, 0.02]) == [0, 0, 255, 255]  # the sky


def test_react_and_charts_are_at_hand(person: Person, stack: Stack, conversation: str) -> None:
    put(stack, conversation, read("libraries.html"))
    frame = show(person, "libraries.html")
    frame.get_by_role("button", name="Count 1").click()
    expect(frame.get_by_role("button", name="Count 2")).to_be_visible()
    expect(frame.locator("body")).to_have_attribute("data-done", "yes")


def test_errors_stand_under_the_page_and_go_to_the_model(
    person: Person, stack: Stack, visitors: Visitors, conversation: str
) -> None:
    put(stack, conversation, {"bad.html": "<body><script>\nnothing.here();\n</script></body>"})
    show(person, "bad.html")
    expect(panel(person).locator(".console__line")).to_contain_text(
        "ReferenceError: nothing is not defined (bad.html:2:1)"
    )
    panel(person).get_by_role("button", name="Send to the model").click()
    assert "bad.html" in person.composer.input_value()
    assert "nothing is not defined" in person.composer.input_value()
    expect(person.composer).to_be_focused()
    visitors.complaints.clear()


def test_the_preview_follows_the_files_while_a_turn_works(
    person: Person, stack: Stack, conversation: str
) -> None:
    put(stack, conversation, {"page.html": "<h1>Old</h1>"})
    frame = show(person, "page.html")
    expect(frame.locator("h1")).to_have_text("Old")
    put(stack, conversation, {"page.html": "<h1>New</h1>"})
    stack.script(
        Reply(step=1, lines=('call: calculate {"expression": "6 * 7"}',)),
        Reply(step=2, lines=("text: Done.",)),
    )
    person.ask("Change it", long_thinking=True)
    expect(frame.locator("h1")).to_have_text("New")
    person.wait_for_answer()


def test_a_page_that_the_model_writes_opens_from_its_answer(person: Person, stack: Stack) -> None:
    page = {"path": "game.html", "content": "<h1>Game</h1><script>document.title = 'x'</script>"}
    stack.script(
        Reply(step=1, lines=(f"call: write_file {json.dumps(page)}",)),
        Reply(step=2, lines=("text: Here is [the game](game.html).",)),
    )
    person.ask("Build me a game", long_thinking=True)
    person.wait_for_answer()
    person.last_turn.get_by_role("link", name="the game").click()
    expect(person.page.frame_locator(".preview__frame").locator("h1")).to_have_text("Game")
    with person.page.context.expect_page() as opened:
        panel(person).get_by_role("link", name="Open in a new tab").click()
    alone = opened.value
    expect(alone.frame_locator(".preview__frame").locator("h1")).to_have_text("Game")


def test_source_text_tables_and_the_way_back(person: Person, stack: Stack, conversation: str) -> None:
    files = {"notes.md": "# Notes\n\n<script>alert(1)</script>", "data.csv": 'city,deaths\nRome,"1,2"\n'}
    put(stack, conversation, {"page.html": "<h1>Seen</h1>", **files})
    show(person, "page.html")
    panel(person).get_by_role("link", name="View source").click()
    expect(panel(person).locator("pre code")).to_have_text("<h1>Seen</h1>")
    panel(person).get_by_role("link", name="All files").click()
    panel(person).locator(".tree__open", has_text="notes.md").click()
    expect(panel(person).locator(".answer h3")).to_have_text("Notes")
    expect(panel(person).locator(".answer script")).to_have_count(0)
    panel(person).get_by_role("link", name="All files").click()
    panel(person).locator(".tree__open", has_text="data.csv").click()
    expect(panel(person).locator("td")).to_have_text(["Rome", "1,2"])
    person.page.keyboard.press("Escape")
    expect(panel(person)).to_be_hidden()
    expect(person.page.get_by_role("link", name="Files", exact=True)).to_be_focused()


# ---- what it must not reach


def test_a_hostile_page_reaches_neither_the_site_nor_the_person(
    person: Person, stack: Stack, visitors: Visitors, conversation: str
) -> None:
    put(stack, conversation, read("inside.html"))
    show(person, "inside.html")
    line = panel(person).locator(".console__line", has_text="cookie")
    tried = json.loads(line.inner_text())
    refused = {"cookie", "parent", "top", "storage", "database", "caches", "workers"}
    assert {name for name, found in tried.items() if found == "SecurityError"} == refused
    assert (tried["frameElement"], tried["opener"], tried["origin"]) == ("null", "null", "null")
    visitors.complaints.clear()


@pytest.mark.slow
def test_a_hostile_page_tells_nobody(
    visitors: Visitors, stack: Stack, listener: Listener, person: Person, conversation: str
) -> None:
    pages = {
        name: text.replace("OUT", f"http://127.0.0.1:{listener.port}").replace("PORT", str(listener.port))
        for name, text in read("hostile").items()
    }
    put(stack, conversation, pages)
    url = person.page.url
    person.page.get_by_role("link", name="Files", exact=True).click()
    heard = {}
    for name in pages:
        panel(person).locator(".tree__open", has_text=name).click()
        expect(panel(person).locator(".preview__frame")).to_be_attached()
        person.page.wait_for_timeout(1000)  # nothing to wait for: it is to be silent
        heard[name] = list(listener.heard)
        listener.heard.clear()
        assert (person.page.url, len(person.page.context.pages)) == (url, 1), name
        panel(person).get_by_role("link", name="All files").click()
    assert heard == dict.fromkeys(pages, [])
    visitors.complaints.clear()


def test_the_listener_would_have_heard(listener: Listener) -> None:
    socket.create_connection(("127.0.0.1", listener.port)).close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"x", ("127.0.0.1", listener.port))
    services.wait_until(lambda: sorted(listener.heard) == ["tcp", "udp"], within_s=30, what="both")


def test_an_address_of_a_preview_is_worth_little_elsewhere(
    person: Person, stack: Stack, visitors: Visitors, conversation: str
) -> None:
    put(stack, conversation, {"page.html": "<h1>Seen</h1>"})
    show(person, "page.html")
    address = panel(person).locator(".preview__frame").get_attribute("src") or ""
    stranger = visitors.stranger()
    stranger.page.goto(address)  # to the whole window it is not given: there it could go anywhere
    expect(stranger.page.locator("body")).to_contain_text("This preview has ended")
    stranger.page.goto(address.replace(conversation.replace("-", ""), "0" * 32))
    expect(stranger.page.locator("body")).to_contain_text("This preview has ended")
    visitors.complaints.clear()
