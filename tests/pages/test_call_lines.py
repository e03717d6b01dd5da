"""A tool call in one line: what is done, to what, and what came of it."""

import json

import pytest
from django.utils import translation

from chat import call_lines


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("run_python", {"code": "import math\nmath.pi"}, ("Run Python", "import math math.pi")),
        (
            "facts_query",
            {"place": "Chad", "facts": ["Area", "Coast"]},
            ("Look up facts", "Chad · Area, Coast"),
        ),
        ("read_document", {"document": "a.pdf", "page": 3}, ("Read document", "a.pdf · 3")),
        ("web_search", {"query": "", "limit": 3}, ("Search", "")),
        ("weather", {"city": "Oslo"}, ("weather", '{"city": "Oslo"}')),
    ],
)
def test_a_call_says_what_is_done_to_what(name: str, arguments: object, line: tuple[str, str]) -> None:
    with translation.override("en"):
        label = str(call_lines.of(name).label)
    assert (label, call_lines.object_of(name, json.dumps(arguments))) == line


@pytest.mark.parametrize("written", ['{"code": "1', "[1, 2]", "no json", "null"])
def test_arguments_that_are_none_stand_as_they_were_written(written: str) -> None:
    assert call_lines.object_of("run_python", written) == written


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"code": "a = 1\\nb = 2\\n"}', "a = 1\nb = 2"),
        ('{"path": "a.py", "content": "a\\nb"}', "path: a.py\ncontent:\na\nb"),
        ('{"place": "Chad", "facts": ["Area", "Sea"], "n": 3}', "place: Chad\nfacts: Area, Sea\nn: 3"),
        ('{"tasks": [{"task": "é"}]}', 'tasks: {"task":"é"}'),
        ('{"n": 3}', "n: 3"),
        ("{}", ""),
        ('{"cut', '{"cut'),
    ],
)
def test_what_a_call_was_given_stands_in_its_lines(arguments: str, shown: str) -> None:
    assert call_lines.input_of(arguments) == shown


@pytest.mark.parametrize(
    ("result", "gist"),
    [
        ("Traceback (most recent call last):\n  File x\nNameError: name 'a'\n", "NameError: name 'a'"),
        ("[begin 2afe: text by others]\n[4] Lakes\nOrsa\n[end 2afe]", "[4] Lakes Orsa"),
        ("x" * 61, "x" * 59 + "…"),
        (None, ""),
    ],
)
def test_what_came_of_it_is_told_without_what_only_the_model_needs(result: str | None, gist: str) -> None:
    assert call_lines.gist(result) == gist
