"""A tool call in one line that a person reads: what is done, to what, and what came of it.

Pages draw calls while they run and after: `static/js/words.js` makes the same lines of the same `LINES`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

MAX_CHARS = 300
MAX_GIST_CHARS = 60
_FRAMES = ("[begin ", "[end ")  # lines that tell the model where a stranger's text begins and ends
NO_RESULT = "…"  # of a call that failed without a word
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, kw_only=True)
class Line:
    """`shown` names the arguments that say what is worked on."""

    label: str | Promise
    icon: str = "tools"
    shown: tuple[str, ...] = ()
    is_code: bool = False


LINES = {
    "run_python": Line(label=_("Run Python"), icon="python", shown=("code",), is_code=True),
    "shell": Line(label=_("Run command"), icon="python", shown=("command",), is_code=True),
    "run_tests": Line(label=_("Run tests"), icon="python", shown=("path", "only"), is_code=True),
    "calculate": Line(label=_("Calculate"), icon="tools", shown=("expression",), is_code=True),
    "read_file": Line(label=_("Read file"), icon="file", shown=("path",), is_code=True),
    "write_file": Line(label=_("Write file"), icon="edit", shown=("path",), is_code=True),
    "edit_file": Line(label=_("Edit file"), icon="edit", shown=("path",), is_code=True),
    "apply_patch": Line(label=_("Change files"), icon="edit"),
    "rename_symbol": Line(label=_("Rename"), icon="edit", shown=("name", "new_name"), is_code=True),
    "search_files": Line(label=_("Search files"), icon="search", shown=("pattern", "glob"), is_code=True),
    "web_search": Line(label=_("Search"), icon="search", shown=("query", "site")),
    "facts_query": Line(label=_("Look up facts"), icon="search", shown=("place", "facts")),
    "open_page": Line(label=_("Open page"), icon="web", shown=("source",)),
    "find_in_page": Line(label=_("Find in page"), icon="web", shown=("words", "source")),
    "ask_page": Line(label=_("Ask page"), icon="web", shown=("source",)),
    "search_documents": Line(label=_("Search documents"), icon="search", shown=("query",)),
    "read_document": Line(label=_("Read document"), icon="file", shown=("document", "page", "part")),
    "document": Line(label=_("Document"), icon="edit", shown=("action", "section", "title")),
    "chart": Line(label=_("Draw chart"), icon="chart", shown=("title",)),
    "table": Line(label=_("Make table"), icon="chart", shown=("title",)),
    "plan": Line(label=_("Plan"), icon="answer"),
    "remember": Line(label=_("Keep in mind"), icon="pin", shown=("fact",)),
    "recall": Line(label=_("Look back"), icon="archive", shown=("what",)),
    "rollback": Line(label=_("Go back"), icon="branch", shown=("lesson",)),
    "verify_claim": Line(label=_("Check claim"), icon="shield", shown=("claim",)),
    "ask_user": Line(label=_("Ask you"), icon="chat", shown=("question",)),
    "spawn": Line(label=_("Call agents"), icon="lanes"),
}


def of(name: str) -> Line:
    """How calls of this tool are written; a tool that is not the platform's keeps its name."""
    return LINES.get(name) or Line(label=name, is_code=True)


def object_of(name: str, arguments: str) -> str:
    """What a call works on, from its arguments as the model wrote them."""
    if name not in LINES:
        return _in_one_line(arguments)[:MAX_CHARS]
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        return _in_one_line(arguments)[:MAX_CHARS]
    if not isinstance(given, dict):
        return _in_one_line(arguments)[:MAX_CHARS]
    values = [given[key] for key in LINES[name].shown if given.get(key) not in (None, "", [])]
    return _in_one_line(" · ".join(map(_written, values)))[:MAX_CHARS]


def input_of(arguments: str) -> str:
    """All that a call was given, each argument by its name; code stands in its lines, not as JSON."""
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        return arguments
    if not isinstance(given, dict):
        return arguments
    texts = {name: _written(value).rstrip() for name, value in given.items()}
    if len(texts) == 1 and all(isinstance(value, str) for value in given.values()):
        return "".join(texts.values())
    return "\n".join(
        f"{name}:\n{text}" if "\n" in text else f"{name}: {text}" for name, text in texts.items()
    )


def gist(result: str | None) -> str:
    """What came of a call: of an error in Python its last line, else how the text begins."""
    lines = [line.strip() for line in (result or "").splitlines()]
    lines = [line for line in lines if line and not line.startswith(_FRAMES)]
    if lines and lines[0].startswith(_TRACEBACK):
        lines = lines[-1:]
    text = _in_one_line(" ".join(lines[:4]))
    return text if len(text) <= MAX_GIST_CHARS else f"{text[: MAX_GIST_CHARS - 1]}…"


def counted(kinds: Sequence[tuple[str, int]]) -> str:
    """So many calls of each kind (chat.runs.TOOLS): "3 searches, 5 pages, Python ×9"."""
    return gettext(", ").join(_counted(kind, times) for kind, times in kinds)


def _counted(kind: str, times: int) -> str:
    words = {
        "search": ngettext("%(n)d search", "%(n)d searches", times),
        "browse": ngettext("%(n)d page", "%(n)d pages", times),
        "tool": ngettext("%(n)d other call", "%(n)d other calls", times),
        "think": ngettext("%(n)d thought", "%(n)d thoughts", times),
        "python": "Python ×%(n)d" if times > 1 else "Python",
    }
    return words[kind] % {"n": times}


def _written(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
