"""Tool calls between Kimi K2's marks: an id, then arguments, which are passed on while they are written.

<|tool_calls_section_begin|><|tool_call_begin|>functions.NAME:IDX<|tool_call_argument_begin|>{…}<|tool_call_end|>
… <|tool_calls_section_end|>, with whatever of it models leave out or add.
"""

import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from inference.parsers import markers
from inference.schema import ToolCallDelta
from inference.tokenizer.marks import Marks

# The prefix may be missing; the name goes up to the last colon with digits: it may hold dots and dashes.
# An index of more digits than any conversation has calls is none.
_ID = re.compile(r"(?:functions\.)?(?P<name>.+?)(?::(?P<index>\d{1,9}))?", re.DOTALL)
_UNNAMED = "unnamed"


class _Place(Enum):
    BETWEEN = "between calls"
    ID = "in a call's id"
    ARGUMENTS = "in a call's arguments"


class KimiCalls:
    """`begin` it at a mark, then `read` until the calls are over; it can be begun again.

    A call is told of once its name is known, and its arguments as they come. A call whose id is not complete
    when another begins is dropped; one whose arguments were being passed on already ends there, as it stands.
    """

    def __init__(
        self,
        marks: Marks,
        *,
        tools: Mapping[str, Mapping[str, Any]],
        num_calls_before: int,
        tell: Callable[[ToolCallDelta], None],
    ) -> None:
        """`tools` are the parameters of the offered tools by name; ids left out are counted on from
        `num_calls_before`.
        """
        self._marks = marks
        self._tools = tools
        self._num_calls_before = num_calls_before
        self._tell = tell
        self._signs = str.maketrans(marks.spellings)
        self._place = _Place.BETWEEN
        self._is_in_section = False
        self._num_calls = 0
        self._ids: set[str] = set()
        self._written_id = ""
        self._space = ""
        self._has_name = False
        self._arguments: list[str] = []  # of a call without a name: kept until they tell which tool is meant
        self._has_arguments = False

    @property
    def is_open(self) -> bool:
        """Whether a call that was told of lacks its end."""
        return self._place is _Place.ARGUMENTS

    def begin(self, mark: str) -> None:
        self._is_in_section = mark == self._marks.section_begin
        if not self._is_in_section:
            self._begin_call()

    def read(self, text: str, *, is_last: bool) -> tuple[str, bool]:
        """What could not be read yet, and whether the calls are over."""
        while True:
            found = markers.find(text, self._ends(), is_last=is_last)
            text = found.after
            self._take(found.before)
            if not found.marker:
                return text, is_last
            if self._meet(found.marker):
                return text, True

    def _ends(self) -> tuple[str, ...]:
        marks = self._marks
        if self._place is _Place.ID:
            return (marks.argument_begin, marks.call_end, marks.call_begin, marks.section_end)
        return (marks.call_end, marks.call_begin, marks.section_end)

    def _take(self, text: str) -> None:
        if self._place is _Place.ID:
            self._written_id += text
        elif self._place is _Place.ARGUMENTS:
            self._take_arguments(text.translate(self._signs))
        # Text between calls says nothing.

    def _take_arguments(self, text: str) -> None:
        text = self._space + text if self._has_arguments else text.lstrip()
        said = text.rstrip()
        self._space = text[len(said) :]
        if not said:
            return
        self._has_arguments = True
        if self._has_name:
            self._tell(ToolCallDelta(index=self._num_calls - 1, arguments=said))
        else:
            self._arguments.append(said)

    def _meet(self, mark: str) -> bool:
        """Whether the calls are over."""
        if mark == self._marks.argument_begin:
            self._place = _Place.ARGUMENTS
            self._has_arguments, self._space, self._arguments = False, "", []
            self._has_name = bool(name := self._name())
            if name:
                self._tell_of(name)
            return False
        self._end_call(is_closed=mark == self._marks.call_end)
        if mark == self._marks.call_begin:
            self._begin_call()
            return False
        return mark == self._marks.section_end or not self._is_in_section

    def _begin_call(self) -> None:
        self._place = _Place.ID
        self._written_id = ""

    def _end_call(self, *, is_closed: bool) -> None:
        if self._place is _Place.ID and is_closed and self._name() in self._tools:
            self._tell_of(self._name(), arguments="{}")  # a call without arguments, all else in place
        elif self._place is _Place.ARGUMENTS and not self._has_name:
            arguments = "".join(self._arguments)
            if is_closed and arguments:
                self._tell_of(self._tool_that_takes(arguments), arguments=arguments)
        elif self._place is _Place.ARGUMENTS and not self._has_arguments:
            self._tell(ToolCallDelta(index=self._num_calls - 1, arguments="{}"))
        self._place = _Place.BETWEEN

    def _name(self) -> str:
        """The name that the id holds; none in an id that is a bare number."""
        written = self._written_id.translate(self._signs).strip()
        found = _ID.fullmatch(written)
        return "" if found is None or written.isdecimal() else found["name"].strip()

    def _tell_of(self, name: str, *, arguments: str = "") -> None:
        found = _ID.fullmatch(self._written_id.strip())
        index = int(found["index"]) if found and found["index"] else self._num_calls_before + self._num_calls
        while (call_id := f"functions.{name}:{index}") in self._ids:
            index += 1
        self._ids.add(call_id)
        self._tell(ToolCallDelta(index=self._num_calls, id=call_id, name=name, arguments=arguments))
        self._num_calls += 1

    def _tool_that_takes(self, arguments: str) -> str:
        """The one tool that these arguments fit, by their keys."""
        try:
            written = json.loads(arguments)
        except (ValueError, RecursionError):
            return _UNNAMED
        keys = set(written) if isinstance(written, dict) else set()
        fitting = [
            name
            for name, parameters in self._tools.items()
            if set(parameters.get("required") or ()) <= keys <= set(parameters.get("properties") or ())
        ]
        return fitting[0] if len(fitting) == 1 else _UNNAMED
