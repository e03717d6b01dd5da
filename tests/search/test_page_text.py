"""What of a page's shape its text keeps: tables, code, headings, where it leads."""

from agents.pages import html_text
from agents.pages.page import Page

FILLING = "".join(
    f"<p>This is sentence number {number} of an article that goes on for {number} hours about nothing.</p>"
    for number in range(12)
)


def read(body: str) -> Page:
    return html_text.read(f"<html><title>T</title><body>{body}</body></html>", "http://site.example/a/")


def text_of(page: Page) -> str:
    return "\n".join(f"{section.heading}\n{section.text}" for section in page.sections)


def test_rows_of_a_table_stay_rows_wherever_it_stands() -> None:
    table = "<table><tr><th>JSON</th><th>Python</th></tr><tr><td>object</td><td>dict</td></tr></table>"
    outside = text_of(read(f"<article>{FILLING}{table}</article>"))
    assert "| JSON | Python |" in outside
    assert "| object | dict |" in outside
    inside = text_of(read(f"<article>{FILLING}<dl><dt>decoder</dt><dd>It reads: {table}</dd></dl></article>"))
    assert "JSON | Python; object | dict." in inside
    alone = text_of(read(f"<main>{table}</main>"))
    assert "JSON | Python\nobject | dict" in alone


def test_a_table_that_only_places_things_is_read_cell_by_cell() -> None:
    page = read("<table><tr><td><p>One.</p><p>Two.</p></td><td><h2>Next</h2><p>Three.</p></td></tr></table>")
    assert [(section.heading, section.text) for section in page.sections] == [
        ("", "One.\nTwo."),
        ("Next", "Three."),
    ]


def test_signs_and_code_stand_as_on_the_page_and_headings_without_their_anchors() -> None:
    code = "<pre>if a[0] \\* b:\n    return __init__</pre>"
    heading = '<h2>Use of __init__<a class="headerlink" href="#u">¶</a></h2>'
    text = text_of(
        read(f"<article>{FILLING}{heading}<p>Call f(*a, **b) [or g] &lt;now&gt;.</p>{code}</article>")
    )
    assert "Use of __init__\n" in text
    assert "Call f(*a, **b) [or g] <now>." in text
    assert "if a[0] \\* b:\n    return __init__" in text
    assert "¶" not in text


def test_where_the_text_leads_comes_before_where_the_menu_does() -> None:
    menu = "".join(f'<a href="/menu/{number}">Menu {number}</a>' for number in range(80))
    page = read(f'<nav>{menu}</nav><main>{FILLING}<p><a href="more">More of it</a></p></main>')
    assert (page.links[0].url, page.links[0].text) == ("http://site.example/a/more", "More of it")
    assert len(page.links) == html_text.MAX_LINKS
