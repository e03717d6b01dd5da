"""Formulas in answers: drawn live and from the store, copied as TeX, read out, never let loose."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import DESKTOP, Visitors
from tests.e2e.person import Person
from tests.e2e.test_look import PHONE, check
from tests.stack import Stack

pytestmark = pytest.mark.e2e

FORMULA = r"D_c = m_c \, P_c \left(1 - e^{-\beta_c \, \Delta T_c}\right)"
ANSWER = rf"""For each city with slope $\beta_c$ and \(\Delta T_c\), deaths are scaled:

$$
{FORMULA}
$$

\[
\begin{{aligned}}
\sum_{{c=1}}^{{93}} D_c &= \int_0^\infty \frac{{x^2}}{{\sqrt{{1 + x}}}} \, dx \\
  &\approx 2644 \text{{ deaths / 人}}
\end{{aligned}}
\]

It costs $5 and $6, not `$x$`. An unknown $\nonsense{{x}}$ stays as it is."""

HOSTILE = r"""Words $\href{javascript:window.hacked=1}{a}$ and $\includegraphics{https://evil.example/a.png}$
and $\htmlStyle{position:fixed}{b}$ and $\url{https://evil.example}$.

$$\def\a{xxxxxxxxxx}\def\b{\a\a\a\a\a\a\a\a\a\a}\def\c{\b\b\b\b\b\b\b\b\b\b}\c\c\c\c\c\c$$

$$\rule{9000em}{9000em}\raisebox{500em}{out}$$

The end."""


def test_formulas_are_drawn_streamed_and_stored(person: Person, stack: Stack) -> None:
    stack.script("pace: 200", f"text: {ANSWER}")
    person.ask("Show it")
    person.wait_for_answer()
    for _ in range(2):
        answer = person.last_turn.locator(".answer")
        expect(answer.locator(".katex")).to_have_count(4)
        expect(answer.locator(".katex-mathml annotation").nth(2)).to_have_text(FORMULA)
        expect(answer.locator(".katex-html[aria-hidden=true]")).to_have_count(4)
        expect(answer.locator("code.math--fault")).to_have_text(r"\nonsense{x}")
        expect(answer).to_contain_text("It costs $5 and $6, not $x$.")
        person.page.reload()
        person.last_turn.locator(".katex").first.wait_for()


def test_a_copied_selection_holds_each_formula_once_as_tex(person: Person, stack: Stack) -> None:
    stack.script(f"text: {ANSWER}")
    person.ask("Show it")
    person.wait_for_answer()
    expect(person.last_turn.locator(".katex")).to_have_count(4)
    copied = person.page.evaluate(
        """() => {
          getSelection().selectAllChildren(document.querySelector(".turn:last-child .answer"));
          const data = new DataTransfer();
          const event = new ClipboardEvent("copy", { clipboardData: data, cancelable: true });
          document.dispatchEvent(event);
          return data.getData("text/plain");
        }"""
    )
    assert copied.count(FORMULA) == 1
    assert f"$${FORMULA}$$" in copied
    assert r"slope $\beta_c$ and $\Delta T_c$, deaths" in copied


def test_hostile_tex_stays_text_and_within_its_place(person: Person, stack: Stack) -> None:
    asked: list[str] = []
    person.page.on("request", lambda request: asked.append(request.url))
    stack.script(f"text: {HOSTILE}")
    person.ask("Hack me")
    person.wait_for_answer()
    expect(person.last_turn.locator("code.math--fault")).to_have_count(5)
    assert not [url for url in asked if "evil" in url]
    assert person.page.evaluate("window.hacked ?? null") is None
    assert person.last_turn.locator(".answer a, .answer img").count() == 0
    assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_no_formula_no_katex(person: Person, stack: Stack) -> None:
    stack.script("text: It costs $5 and $6.")
    person.ask("Prices?")
    person.wait_for_answer()
    loaded = person.page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    assert not [name for name in loaded if "katex" in name or "js/maths" in name]


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_formulas_look_right(
    visitors: Visitors, stack: Stack, shots: Path, size: tuple[int, int], theme: str
) -> None:
    language = "zh-CN" if theme == "dark" else "en-US"
    person = visitors.person(size, theme=theme, language=language)
    stack.script(f"text: {ANSWER}")
    person.ask("Show it")
    person.wait_for_answer()
    expect(person.last_turn.locator(".katex")).to_have_count(4)
    person.page.evaluate("document.fonts.ready")
    check(person.page, shots / f"maths-{size[0]}-{theme}.png")
