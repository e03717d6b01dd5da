"""The server's drawing of markdown: what a model may say with it, and what it may not do."""

import re
from html.parser import HTMLParser

import pytest

from chat import answer_marks, markdown
from chat.templatetags.chat_page import paragraphs
from tests.pages.hostile import PAYLOADS


class Inventory(HTMLParser):
    """The tags and attributes that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


def assert_inert(html: str) -> None:
    seen = Inventory(html)
    assert seen.tags <= markdown.TAGS
    for tag, name, value in seen.attributes:
        assert name in markdown.ATTRIBUTES.get(tag, set()) | {"rel", "target"}, (tag, name)
        if name == "href":
            assert re.match(r"(https?://|mailto:|files/|/artifacts/)", value), value
        if name == "src":
            assert markdown.own_file(value) == value


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_markdown_is_inert(payload: str) -> None:
    assert_inert(markdown.render(payload))
    assert_inert(markdown.render(f"Words before.\n\n{payload}\n\nWords after."))


def test_the_whole_corpus_at_once_is_inert() -> None:
    assert_inert(markdown.render("\n\n".join(PAYLOADS)))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_reasoning_is_inert(payload: str) -> None:
    assert Inventory(paragraphs(payload)).tags <= {"p", "strong", "code"}


def test_links_leave_without_a_trace() -> None:
    html = markdown.render("[paper](https://example.com 'title')")
    assert '<a href="https://example.com" title="title"' in html
    assert 'rel="noopener nofollow noreferrer"' in html
    assert 'target="_blank"' in html


def test_a_link_names_the_host_it_leads_to() -> None:
    assert '>the paper <span class="host">example.com</span></a>' in markdown.render(
        "[the paper](https://example.com/p)"
    )
    assert '>good.com <span class="host">evil.example</span></a>' in markdown.render(
        "[good.com](https://evil.example/)"
    )
    assert '<span class="host">evil.example</span>' in markdown.render("[x](https://good.com@evil.example/)")
    assert "host" not in markdown.render("[example.com/p](https://example.com/p)")


def test_an_address_that_could_carry_much_is_marked() -> None:
    carried = "https://example.com/?d=" + "x" * 40
    assert 'class="is-long"' in markdown.render(f"[see]({carried})")
    assert 'class="is-long"' in markdown.render(f"![pixel]({carried})")
    assert "is-long" not in markdown.render("[see](https://example.com/?page=2)")


def test_only_the_person_s_own_pictures_are_loaded() -> None:
    assert '<img src="files/plots/a.png" alt="A plot" loading="lazy">' in markdown.render(
        "![A plot](plots/a.png)"
    )
    for address in (
        "https://evil.example/a.png",
        "../a.png",
        "/logo.png",
        "//evil.example/a.png",
        "a.svg",
        "a.png?x=1",
    ):
        assert "<img" not in markdown.render(f"![a]({address})")
    foreign = markdown.render("![a map](https://evil.example/a.png)")
    assert 'href="https://evil.example/a.png"' in foreign
    assert '>a map <span class="host">evil.example</span></a>' in foreign


def test_headings_stay_below_the_page_s_own() -> None:
    assert markdown.render("# One\n\n#### Four") == "<h3>One</h3>\n<h4>Four</h4>\n"


def test_a_table_scrolls_and_its_numbers_stand_right() -> None:
    html = markdown.render("| City | Count |\n|---|--:|\n| Rome | 12 |")
    assert '<table class="table">' in html
    assert '<td class="is-num">12</td>' in html
    assert "style" not in html


@pytest.mark.parametrize(
    ("language", "code", "drawn"),
    [
        (
            "python",
            "return 1  # why",
            '<span class="k">return</span> <span class="n">1</span>  <span class="c"># why</span>',
        ),
        ("js", 'const a = "b"', '<span class="k">const</span>'),
        ("nonsense", "a < b", "a &lt; b"),
        ("", "a < b", "a &lt; b"),
    ],
)
def test_code_is_drawn_in_four_classes(language: str, code: str, drawn: str) -> None:
    html = markdown.render(f"```{language}\n{code}\n```")
    assert drawn in html
    assert set(re.findall(r'<span class="(\w)">', html)) <= set("ksnc")


def test_very_long_code_is_shown_without_colour() -> None:
    html = markdown.render("```python\n" + "x = 1\n" * 20_000 + "```")
    assert '<span class="n">' not in html


def test_deep_nesting_does_not_fell_the_server() -> None:
    assert markdown.render(">" * 5_000 + " deep")
    assert markdown.render("[" * 5_000 + "x" + "](y)" * 5_000)
    assert markdown.render("**a**" * 5_000)


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("Let $x_1$ be.", '<code class="math">x_1</code>'),
        (r"Let \(a*b*c\) be.", '<code class="math">a*b*c</code>'),
        ("Then $$a < b$$ holds", '<code class="math math--apart">a &lt; b</code>'),
        (
            "Then:\n\\[\nx\n- y\n\\]\nafter",
            '<code class="math math--apart">x\n- y</code></div>\n<p>after</p>',
        ),
        ("the $n$th", '<code class="math">n</code>th'),
    ],
)
def test_formulas_are_kept_as_tex(text: str, drawn: str) -> None:
    assert drawn in markdown.render(text)


@pytest.mark.parametrize(
    "text",
    [
        "$5 and $6",
        "US$5 to US$6",
        "$5-$6 or $10M–$20M",
        "I paid $20. He paid 30$.",
        "`$x$`",
        "```\n$x$\n```",
        r"\$x\$",
        "$ x $",
        "$$\nno end\n\nText",
    ],
)
def test_prices_and_code_are_no_formulas(text: str) -> None:
    assert "math" not in markdown.render(text)


def test_a_bracket_in_a_formula_is_no_citation() -> None:
    html = answer_marks.with_citations(
        markdown.render("As $x[1]$ says [1]."), {1}, draw=lambda number: "<b>pill</b>"
    )
    assert html.count("pill") == 1
    assert ">x[1]</code>" in html


def test_many_openings_cost_little() -> None:
    for opening in ("$$a\n", "\\[a\n", "$$\n", "$a ", r"\(a", "$a\\"):
        assert markdown.render(opening * 20_000)
