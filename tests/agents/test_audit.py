"""The log that shows tampering: nothing in it can be changed, taken, moved or added unseen."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import audit
from agents.audit import ChainBroken, Record

RECORDS = [
    Record(kind=kind, data={"id": number, "text": f"text {number} \u4f60\u597d"})
    for number, kind in enumerate(("turn", "limits", "message", "tool_run", "passage"))
]
LINES = list(audit.export(RECORDS))


def rehashed(lines: list[str]) -> list[str]:
    """The whole log written anew, as somebody could who may write all of it."""
    contents = [json.loads(line) for line in lines[:-1]]
    return list(audit.export(Record(kind=content["kind"], data=content["data"]) for content in contents))


def test_an_untouched_log_is_sound_and_the_same_each_time() -> None:
    assert audit.verify(LINES) == audit.hash_of(LINES[-1])
    assert list(audit.export(RECORDS)) == LINES
    assert audit.verify(audit.export([])) != ""


@pytest.mark.parametrize("number", range(len(LINES)))
def test_every_line_guards_its_content_its_place_and_its_presence(number: int) -> None:
    content = json.loads(LINES[number])
    edits = {
        "kind": {**content, "kind": "other"},
        "data": {**content, "data": {**content["data"], "more": 1}},
        "line": {**content, "line": content["line"] + 1},
        "previous": {**content, "previous": "f" * 64},
        "key": {**content, "extra": True},
    }
    for edit in edits.values():
        line = json.dumps(edit, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        with pytest.raises(ChainBroken):
            audit.verify([*LINES[:number], line, *LINES[number + 1 :]])
    with pytest.raises(ChainBroken):
        audit.verify(LINES[:number] + LINES[number + 1 :])
    with pytest.raises(ChainBroken):
        audit.verify([*LINES[:number], LINES[number], *LINES[number:]])


@given(st.permutations(LINES))
def test_no_other_order_is_sound(lines: list[str]) -> None:
    if lines != LINES:
        with pytest.raises(ChainBroken):
            audit.verify(lines)


@given(st.integers(0, len("\n".join(LINES)) - 1), st.characters(exclude_characters="\n"))
def test_no_single_character_can_be_changed(place: int, character: str) -> None:
    text = "\n".join(LINES)
    changed = text[:place] + character + text[place + 1 :]
    if changed != text:
        with pytest.raises(ChainBroken):
            audit.verify(changed.split("\n"), last_hash=audit.hash_of(LINES[-1]))


def test_the_line_that_was_changed_is_named() -> None:
    lines = LINES.copy()
    lines[2] = lines[2].replace("text 2", "text 7")
    with pytest.raises(ChainBroken) as broken:
        audit.verify(lines)
    assert broken.value.line == 4  # the line behind it carries its hash


def test_a_log_written_anew_is_told_by_the_hash_that_was_kept() -> None:
    forged = LINES.copy()
    forged[3] = forged[3].replace("text 3", "text 9")
    forged = rehashed(forged)
    audit.verify(forged)
    with pytest.raises(ChainBroken, match="another"):
        audit.verify(forged, last_hash=audit.verify(LINES))
