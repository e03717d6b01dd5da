"""What was typed and not sent: five texts, four ways to lose it."""

from collections.abc import Callable

from playwright.sync_api import expect

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


def measure(rig: Rig) -> list[Figure]:
    ways: tuple[Callable[[Rig, Person], None], ...] = (_reload, _close, _signed_out, _sent_unconnected)
    lost = sum(_lost(rig, text, way) for text in TEXTS for way in ways)
    num = len(TEXTS) * len(ways)
    return [Figure(name=f"G16 characters of drafts lost in {num} accidents", value=lost, unit="", most=0)]


def _lost(rig: Rig, text: str, way: Callable[[Rig, Person], None]) -> int:
    with rig.person() as person:
        person.composer.fill(text)
        way(rig, person)
        if way is _sent_unconnected:
            kept = person.page.locator(".bubble").last.text_content() or ""
        else:
            expect(person.composer).not_to_have_value("")
            kept = person.composer.input_value()
    return 0 if kept.strip() == text.strip() else max(1, len(text) - len(kept))


def _reload(rig: Rig, person: Person) -> None:
    person.page.reload()


def _close(rig: Rig, person: Person) -> None:
    """The page goes without a word, and is opened again."""
    page = person.page.context.new_page()
    person.page.close(run_before_unload=False)
    person.page = page
    page.goto("/")


def _signed_out(rig: Rig, person: Person) -> None:
    person.page.context.clear_cookies()
    person.page.reload()
    person.sign_in()


def _sent_unconnected(rig: Rig, person: Person) -> None:
    """Sent while there is no connection: it goes out by itself."""
    rig.stack.script("text: Here.")
    context = person.page.context
    context.set_offline(True)
    rig.stack.kill("web")
    person.composer.press("Enter")
    expect(person.page.locator(".bubble")).to_have_count(1)
    rig.stack.start_part("web")
    rig.stack.wait_until_served()
    context.set_offline(False)
    person.wait_for_answer()
    person.page.reload()
