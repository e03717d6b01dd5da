"""What was typed and not sent: so many ways to lose it, with texts of every sort."""

from collections.abc import Callable
from contextlib import suppress

from playwright.sync_api import Error, Page, expect

from inference.bench.report import Figure
from tests.chat_bench.rig import Rig
from tests.e2e.person import Person

TEXTS = (
    "half a thought",
    "两棵树\n\n下一段,带有 **Markdown** 和 `code`",
    "שלום עולם — مرحبا بالعالم e\u0301\u0327 👩‍👩‍👧‍👦",
    "".join(f"line {number}\n" for number in range(400)) + "end",
    "x" * 60_000,
)
Way = Callable[[Rig, Person, str], str]  # types the text, has its accident, and says what is left of it
WITHIN_MS = 60_000


def measure(rig: Rig) -> list[Figure]:
    rig.stack.script("text: An answer.")
    lost = {way.__name__: _lost(rig, TEXTS[at % len(TEXTS)], way) for at, way in enumerate(WAYS)}
    worst = [name.strip("_").replace("_", " ") for name, num in lost.items() if num]
    name = f"G16 characters of drafts lost in {len(WAYS)} accidents" + (
        f" ({', '.join(worst)})" if worst else ""
    )
    return [Figure(name=name, value=sum(lost.values()), unit="", most=0)]


def _lost(rig: Rig, text: str, way: Way) -> int:
    with rig.person() as person:
        kept = way(rig, person, text).strip()
    return 0 if text.strip() in kept else max(1, len(text) - len(kept))


def _typed(person: Person) -> str:
    """What the composer holds, once it holds anything."""
    with suppress(AssertionError):
        expect(person.composer).not_to_have_value("", timeout=WITHIN_MS)
    return person.composer.input_value()


def _sent(person: Person) -> str:
    """The question in the thread, once it is answered."""
    person.wait_for_answer()
    person.page.reload()
    return person.page.locator(".bubble").last.text_content() or ""


def _again(person: Person, page: Page) -> None:
    person.page = page
    page.goto("/")


# ---- the page goes


def _reload(rig: Rig, person: Person, text: str) -> str:
    person.composer.fill(text)
    person.page.reload()
    return _typed(person)


def _close(rig: Rig, person: Person, text: str) -> str:
    """The page goes without a word, and is opened again."""
    person.composer.fill(text)
    page = person.page.context.new_page()
    person.page.close(run_before_unload=False)
    _again(person, page)
    return _typed(person)


def _crash(rig: Rig, person: Person, text: str) -> str:
    person.composer.fill(text)
    page = person.page.context.new_page()
    with suppress(Error):
        person.page.goto("chrome://crash", timeout=5_000)
    _again(person, page)
    return _typed(person)


def _went_back(rig: Rig, person: Person, text: str) -> str:
    person.composer.fill(text)
    person.page.goto("/search/")
    person.page.go_back()
    return _typed(person)


def _lost_its_store(rig: Rig, person: Person, text: str) -> str:
    with person.page.expect_response("**/drafts/"):
        person.composer.fill(text)
    person.page.evaluate("addEventListener('pagehide', () => localStorage.clear())")
    person.page.reload()
    return _typed(person)


def _without_scripts(rig: Rig, person: Person, text: str) -> str:
    person.composer.fill(text)
    person.page.route("**/*.js", lambda route: route.abort())
    person.page.reload()
    person.page.unroute("**/*.js")
    person.page.reload()
    return _typed(person)


def _elsewhere_in_between(rig: Rig, person: Person, text: str) -> str:
    person.ask("A question")
    person.wait_for_answer()
    person.composer.fill(text)
    chat = person.page.url
    person.page.goto("/")
    expect(person.composer).to_have_value("")
    person.page.goto(chat)
    return _typed(person)


def _temporary(rig: Rig, person: Person, text: str) -> str:
    person.page.goto("/?temporary=1")
    person.composer.fill(text)
    person.page.reload()
    return _typed(person)


def _in_another_language(rig: Rig, person: Person, text: str) -> str:
    person.composer.fill(text)
    found = f"User.objects.filter(username={person.name!r})"
    rig.stack.python(f"from webapp.accounts.models import User\n{found}.update(language='zh-hans')")
    person.page.reload()
    return _typed(person)


# ---- others type, too


def _two_tabs(rig: Rig, person: Person, text: str) -> str:
    person.composer.fill(text)
    other = person.page.context.new_page()
    other.goto("/")
    other.locator("#message").fill("typed in another tab")
    person.composer.press_sequentially("!")
    other.close()
    person.page.reload()
    return _typed(person)


def _on_another_device(rig: Rig, person: Person, text: str) -> str:
    with person.page.expect_response("**/drafts/"):
        person.composer.fill(text)
    person.page.context.clear_cookies()
    person.page.evaluate("localStorage.clear()")
    person.page.goto("/sign-in/")
    person.sign_in()
    return _typed(person)


# ---- the session goes


def _signed_out(rig: Rig, person: Person, text: str) -> str:
    person.composer.fill(text)
    person.page.context.clear_cookies()
    person.page.reload()
    person.sign_in()
    return _typed(person)


def _sent_after_the_session_ended(rig: Rig, person: Person, text: str) -> str:
    rig.stack.python("from django.contrib.sessions.models import Session; Session.objects.all().delete()")
    person.composer.fill(text)
    person.composer.press("Enter")
    dialog = person.page.locator("#signed-out")
    dialog.get_by_label("Name or email").fill(person.name)
    dialog.get_by_label("Password", exact=True).fill(person.password)
    dialog.get_by_role("button", name="Sign in").click()
    return _sent(person)


# ---- the server goes


def _sent_unconnected(rig: Rig, person: Person, text: str) -> str:
    """Sent while there is no connection: it goes out by itself."""
    person.composer.fill(text)
    person.page.context.set_offline(True)
    rig.stack.kill("web")
    person.composer.press("Enter")
    expect(person.page.locator(".bubble")).to_have_count(1)
    _serve_again(rig)
    person.page.context.set_offline(False)
    return _sent(person)


def _killed_while_it_is_sent(rig: Rig, person: Person, text: str) -> str:
    """It came in, or it is typed still; and it is not asked twice."""
    person.composer.fill(text)
    person.composer.press("Enter")
    rig.stack.kill("web")
    _serve_again(rig)
    return _sent(person)


def _typed_while_it_is_away(rig: Rig, person: Person, text: str) -> str:
    rig.stack.kill("web")
    person.composer.fill(text)
    _serve_again(rig)
    person.page.reload()
    return _typed(person)


def _closed_where_there_is_no_net(rig: Rig, person: Person, text: str) -> str:
    person.page.context.set_offline(True)
    person.composer.fill(text)
    page = person.page.context.new_page()
    person.page.close(run_before_unload=False)
    page.context.set_offline(False)
    _again(person, page)
    return _typed(person)


def _serve_again(rig: Rig) -> None:
    rig.stack.start_part("web")
    rig.stack.wait_until_served()


# ---- it is refused


def _refused(rig: Rig, person: Person, text: str) -> str:
    _offer(rig, is_active=False)
    try:
        person.composer.fill(text)
        person.composer.press("Enter")
        expect(person.note).to_contain_text("scripted")
        person.page.reload()
        return _typed(person)
    finally:
        _offer(rig, is_active=True)


def _too_long(rig: Rig, person: Person, text: str) -> str:
    person.page.evaluate("document.getElementById('composer').dataset.maxChars = '3'")
    person.composer.fill(text)
    person.composer.press("Enter")
    expect(person.note).not_to_be_empty()
    person.page.reload()
    return _typed(person)


def _beside_a_file_that_fails(rig: Rig, person: Person, text: str) -> str:
    person.page.route("**/attachments/**", lambda route: route.abort())
    person.composer.fill(text)
    file = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"notes"}
    person.page.locator("input[type=file]").first.set_input_files(file)  # type: ignore[arg-type]
    person.page.reload()
    return _typed(person)


def _while_an_answer_streams(rig: Rig, person: Person, text: str) -> str:
    rig.stack.script("pace: 20", "text: " + " ".join(f"word{number}" for number in range(60)))
    try:
        person.ask("Count")
        person.wait_for_text("word5")
        person.composer.fill(text)
        person.page.reload()
        return _typed(person)
    finally:
        rig.stack.script("text: Here.")


def _offer(rig: Rig, *, is_active: bool) -> None:
    rig.stack.python(
        "from webapp.catalog.models import ServedModel\n"
        f"ServedModel.objects.filter(name='scripted').update(is_active={is_active})"
    )


WAYS: tuple[Way, ...] = (
    *(_reload, _close, _crash, _went_back, _lost_its_store, _without_scripts, _elsewhere_in_between),
    *(_temporary, _in_another_language, _two_tabs, _on_another_device, _signed_out),
    *(_sent_after_the_session_ended, _sent_unconnected, _killed_while_it_is_sent, _typed_while_it_is_away),
    *(_closed_where_there_is_no_net, _refused, _too_long, _beside_a_file_that_fails),
    _while_an_answer_streams,
)
