"""Code that takes its lexer time by the square of its length: the page has it soon, and whole."""

import re
import time
from html import unescape

import pytest

from chat import markdown


@pytest.mark.parametrize(("language", "piece"), [("python", "\t\n"), ("javascript", '"\\'), ("xml", "<!--")])
def test_code_made_to_be_slow_is_drawn_soon_and_whole(language: str, piece: str) -> None:
    code = "x = 1\r\n" + piece * (80_000 // len(piece))
    began = time.thread_time()
    html = markdown.highlight(code, language)
    assert time.thread_time() - began < 10 * markdown.HIGHLIGHT_S  # without a bound it is a minute
    assert unescape(re.sub(r'</?span(?: class="\w")?>', "", html)) == code.replace("\r\n", "\n")
