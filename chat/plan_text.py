"""A plan as a person edits it: a line for each item with its status in brackets, "# Phase" above those of a
phase."""

import re
from collections.abc import Iterable

from agents.happenings import PlanLine

MARKS = {"todo": " ", "doing": ">", "done": "x", "dropped": "-"}
MAX_LINES = 60
MAX_CHARS = 500
PHASE_CHARS = 80

_STATUS = {mark: status for status, mark in MARKS.items()} | {"": "todo", "X": "done"}
_ITEM = re.compile(r"^(?:[-*]\s+)?(?:\[(?P<mark>[ >xX-]?)\]\s*)?(?P<text>.+)$")


def write(lines: Iterable[PlanLine]) -> str:
    written: list[str] = []
    phase = ""
    for line in lines:
        if line.phase != phase:
            written += ([""] if written else []) + [f"# {line.phase}".rstrip()]
            phase = line.phase
        written.append(f"[{MARKS.get(line.status, ' ')}] {line.text}")
    return "\n".join(written)


def read(text: str, *, before: Iterable[PlanLine] = ()) -> list[PlanLine]:
    """The plan that this text says. A line that stood there before keeps its evidence. Raises ValueError for
    one without a line, or with too many or too long ones."""
    evidence = {line.text: line.evidence for line in before}
    lines: list[PlanLine] = []
    phase = ""
    for raw in filter(None, map(str.strip, text.splitlines())):
        if raw.startswith("#"):
            phase = raw.lstrip("#").strip()[:PHASE_CHARS]
        elif (found := _ITEM.match(raw)) is not None:
            item = found["text"].strip()
            status = _STATUS[found["mark"] or ""]
            lines.append(PlanLine(text=item, phase=phase, status=status, evidence=evidence.get(item, [])))
    if not 1 <= len(lines) <= MAX_LINES or any(len(line.text) > MAX_CHARS for line in lines):
        raise ValueError("a plan has between one and sixty lines of at most 500 characters")
    return lines
