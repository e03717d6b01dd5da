"""From a model's text, in pieces of any size, to deltas: reasoning, then content, then tool calls.

One state machine for all of it, because the three are tangled in practice: a model may call a tool without
closing its reasoning, or write a call in a code fence. Knows nothing of tokens, nor of what a tool does.
"""

from collections.abc import Callable, Collection

from inference.parsers import markers, reasoning, tool_calls
from inference.parsers.stop_strings import StopStrings
from inference.schema import ChatDelta, ContentDelta, ReasoningDelta, ToolCallDelta

State = Callable[[bool], bool]


class StreamParser:
    """Feed it text, then `finish`; the deltas are the same however the text was cut.

    `is_reasoning` tells where the text stands. Once `is_done` is true the model need not be asked for more:
    a stop string was met, or it talks on after its calls, where it would make up their results.
    """

    def __init__(
        self,
        *,
        starts_in_reasoning: bool,
        tools: Collection[str] = (),
        num_calls_before: int = 0,
        answered: Collection[tool_calls.Call] = (),
        stop: Collection[str] = (),
    ) -> None:
        """A call that is among the `answered` ones is left out: its result is in the conversation already."""
        self._tools = frozenset(tools)
        self._num_calls_before = num_calls_before
        self._answered = frozenset(answered)
        self._stops = StopStrings(stop)
        self._state: State = self._read_reasoning if starts_in_reasoning else self._read_start
        self._buffer = ""
        self._space = ""  # kept back until it is known what it stands before
        self._is_blank = True  # nothing but space was said in this channel
        self._has_open_reasoning = starts_in_reasoning
        self._out: list[ChatDelta] = []
        self.num_calls = 0
        self.has_content = False
        self.is_done = False
        # Set when the closing mark is forced on the model: it may have closed its reasoning just before.
        self.expects_close = False

    @property
    def is_reasoning(self) -> bool:
        return self._state == self._read_reasoning

    def feed(self, text: str) -> list[ChatDelta]:
        self._buffer += text
        return self._run(is_last=False)

    def finish(self) -> list[ChatDelta]:
        """The rest, once no more text comes."""
        deltas = self._run(is_last=True)
        if not self.num_calls and not self._has_open_reasoning:
            self._pass(self._space)
        self._pass_kept()
        deltas += self._take()
        return deltas

    def _run(self, *, is_last: bool) -> list[ChatDelta]:
        while not self.is_done and self._state(is_last):
            pass
        return self._take()

    def _take(self) -> list[ChatDelta]:
        deltas, self._out = self._out, []
        return deltas

    # ---- states: each eats what it can of the buffer, and returns whether the next state should have a look

    def _read_start(self, is_last: bool) -> bool:
        """Before anything was said: a model that was not led into reasoning may open it by itself."""
        text = self._buffer.lstrip()
        if text.startswith(reasoning.OPEN):
            self._buffer = text.removeprefix(reasoning.OPEN)
            self._has_open_reasoning = True
            return self._enter(self._read_reasoning)
        if reasoning.OPEN.startswith(text) and not is_last:
            return False
        return self._enter(self._read_content)

    def _read_reasoning(self, is_last: bool) -> bool:
        calls = (tool_calls.OPEN, tool_calls.FENCE) if self._tools else ()
        ends = (reasoning.CLOSE, *calls)
        found = markers.find(self._buffer, ends, is_last=is_last)
        self._buffer = found.after
        self._say(found.before)
        if found.marker == reasoning.CLOSE:
            self._has_open_reasoning = self.expects_close = False
            return self._enter(self._read_content)
        return self._meet(found.marker)

    def _read_content(self, is_last: bool) -> bool:
        found = markers.find(self._buffer, self._content_markers(), is_last=is_last)
        self._buffer = found.after
        self._say(found.before)
        return self._meet(found.marker)

    def _read_after_calls(self, is_last: bool) -> bool:
        found = markers.find(self._buffer, self._content_markers(), is_last=is_last)
        self._buffer = found.after
        self.is_done = bool(found.before.strip())
        return not self.is_done and self._meet(found.marker)

    def _content_markers(self) -> tuple[str, ...]:
        calls = (tool_calls.OPEN, tool_calls.FENCE, tool_calls.BRACE) if self._tools else ()
        return (*calls, reasoning.CLOSE) if self._has_open_reasoning or self.expects_close else calls

    def _meet(self, marker: str) -> bool:
        if marker == reasoning.CLOSE:
            # A call was made in open reasoning, or a close was forced: the late mark says nothing new.
            self._has_open_reasoning = self.expects_close = False
            return True
        if marker == tool_calls.OPEN:
            self._state = self._read_call
        elif marker == tool_calls.FENCE:
            self._state = self._read_fence
        elif marker == tool_calls.BRACE:
            self._state = self._read_bare
        return bool(marker)

    def _read_call(self, is_last: bool) -> bool:
        found = markers.find(self._buffer, (tool_calls.CLOSE, tool_calls.OPEN), is_last=is_last)
        if not found.marker and not is_last:
            return False
        # A second opening mark means that the first call was left unfinished, or only not closed.
        self._buffer = tool_calls.OPEN + found.after if found.marker == tool_calls.OPEN else found.after
        closing = found.marker if found.marker == tool_calls.CLOSE else ""
        return self._conclude(tool_calls.OPEN, found.before, closing)

    def _read_fence(self, is_last: bool) -> bool:
        if not tool_calls.may_be_fenced_call(self._buffer, self._tools):
            return self._conclude(tool_calls.FENCE, "", "")
        end = self._buffer.find(tool_calls.FENCE)
        while end >= 0:
            body = self._buffer[:end]
            is_call = bool(tool_calls.parse(tool_calls.FENCE + body))
            # No proper JSON string spans lines: a fence at a line's start is the block's end, call or not.
            if is_call or body.endswith("\n"):
                self._buffer = self._buffer[end + len(tool_calls.FENCE) :]
                return self._conclude(tool_calls.FENCE, body, tool_calls.FENCE)
            end = self._buffer.find(tool_calls.FENCE, end + 1)
        if not is_last:
            return False
        body, self._buffer = self._buffer, ""
        return self._conclude(tool_calls.FENCE, body, "")

    def _read_bare(self, is_last: bool) -> bool:
        text = tool_calls.BRACE + self._buffer
        is_line_start = self._is_blank or "\n" in self._space
        if not (is_line_start and tool_calls.may_be_call(text, self._tools)):
            return self._conclude(tool_calls.BRACE, "", "")
        call, rest = tool_calls.first(text)
        if call is not None:
            self._buffer = rest
            return self._conclude(tool_calls.BRACE, text.removesuffix(rest)[1:], "")
        if not is_last:
            return False
        body, self._buffer = self._buffer, ""
        return self._conclude(tool_calls.BRACE, body, "")

    def _conclude(self, opening: str, body: str, closing: str) -> bool:
        """A block came to its end: emit its calls, or give it back to the text that it was part of."""
        calls = tool_calls.parse(body if opening == tool_calls.OPEN else opening + body + closing)
        if calls and (opening == tool_calls.OPEN or all(call.name in self._tools for call in calls)):
            for call in calls:
                if call not in self._answered:
                    self._call(call)
            if self.num_calls:
                return self._enter(self._read_after_calls)
        elif self.num_calls:
            self.is_done = True
            return False
        else:
            self._say(opening + body + closing)
        self._state = self._read_reasoning if self._has_open_reasoning else self._read_content
        return bool(self._buffer)

    def _enter(self, state: State) -> bool:
        """Space between two channels belongs to neither."""
        self._state = state
        self._space = ""
        self._is_blank = True
        return True

    # ---- output

    def _say(self, text: str) -> None:
        text = text.lstrip() if self._is_blank else self._space + text
        said = text.rstrip()
        self._space = text[len(said) :]
        self._is_blank = self._is_blank and not said
        self._pass(said)

    def _pass(self, text: str) -> None:
        if self._has_open_reasoning:
            if text:
                self._out.append(ReasoningDelta(text))
            return
        self._emit_content(self._stops.feed(text))
        self.is_done = self.is_done or self._stops.is_hit

    def _pass_kept(self) -> None:
        self._emit_content(self._stops.finish())

    def _emit_content(self, text: str) -> None:
        if text:
            self.has_content = True
            self._out.append(ContentDelta(text))

    def _call(self, call: tool_calls.Call) -> None:
        self._pass_kept()
        number = self._num_calls_before + self.num_calls
        call_id = f"functions.{call.name}:{number}"
        self._out.append(
            ToolCallDelta(index=self.num_calls, id=call_id, name=call.name, arguments=call.arguments)
        )
        self.num_calls += 1
