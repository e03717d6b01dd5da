"""From a model's text, in pieces of any size, to deltas: reasoning, then content, then tool calls.

One state machine for all of it, because the three are tangled in practice: a model may call a tool without
closing its reasoning, or write a call in a code fence. Knows nothing of tokens, nor of what a tool does.
"""

from collections.abc import Callable, Collection

from inference.parsers import markers, tool_calls
from inference.parsers.channels import Channels
from inference.parsers.kimi_calls import KimiCalls
from inference.schema import ChatDelta, ContentDelta, ReasoningDelta, ToolCallDelta, ToolSpec
from inference.tokenizer.marks import SPELLED, CallStyle, Marks

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
        tools: Collection[ToolSpec] = (),
        num_calls_before: int = 0,
        answered: Collection[tool_calls.Call] = (),
        stop: Collection[str] = (),
        style: CallStyle = CallStyle.JSON,
        marks: Marks = SPELLED,
        has_begun: bool = False,
    ) -> None:
        """`starts_in_reasoning`: whatever comes before the closing mark is reasoning, an opening mark or none
        before it. A call in JSON that is among the `answered` ones is left out: its result is in the
        conversation already. `marks` are how the text shows the marks of reasoning and of Kimi's calls.
        `has_begun`: the text goes on with content that was said before.
        """
        self._tools = frozenset(tool.name for tool in tools)
        self._num_calls_before = num_calls_before
        self._answered = frozenset(answered)
        self._marks = marks
        self._channels = Channels(
            is_reasoning=starts_in_reasoning, stop=stop, signs=marks.spellings, has_begun=has_begun
        )
        self._kimi = KimiCalls(
            marks,
            tools={tool.name: tool.parameters for tool in tools},
            num_calls_before=num_calls_before,
            tell=self._channels.call,
        )
        self._call_marks = self._marks_of_calls(style) if tools else ()
        # A section may be closed that was never opened.
        self._late_marks = (marks.section_end, marks.call_end) if style is CallStyle.KIMI else ()
        self._state: State = self._read_content if has_begun else self._read_start
        self._starts_in_reasoning = starts_in_reasoning
        self._buffer = ""
        self._is_done = False
        # Reasoning that no mark ever opened or closed: the answer, if it stays the only thing said.
        self._unmarked: list[str] | None = [] if starts_in_reasoning else None
        # Set when the closing mark is forced on the model: it may have closed its reasoning just before.
        self.expects_close = False

    @property
    def is_reasoning(self) -> bool:
        is_at_start = self._state == self._read_start and self._starts_in_reasoning
        return is_at_start or self._state == self._read_reasoning

    @property
    def is_done(self) -> bool:
        return self._is_done or bool(self._channels.stop_met)

    @property
    def stop_met(self) -> str:
        """The stop string that ended the answer, if one did."""
        return self._channels.stop_met

    @property
    def num_calls(self) -> int:
        return self._channels.num_calls

    @property
    def has_content(self) -> bool:
        return self._channels.has_content

    @property
    def has_open_call(self) -> bool:
        """Whether the last call that was told of lacks its end."""
        return self._kimi.is_open

    def feed(self, text: str) -> list[ChatDelta]:
        self._buffer += text
        return self._run(is_last=False)

    def finish(self, *, repeats_unmarked: bool = False) -> list[ChatDelta]:
        """The rest, once no more text comes.

        With `repeats_unmarked`, an answer that was taken for reasoning (it began there without a mark, and
        was never closed) is given again as content.
        """
        deltas = self._run(is_last=True)
        self._channels.finish()
        deltas += self._channels.take()
        if repeats_unmarked and self._unmarked and not self.num_calls:
            deltas.append(ContentDelta("".join(self._unmarked)))
        return deltas

    def _run(self, *, is_last: bool) -> list[ChatDelta]:
        while not self.is_done and self._state(is_last):
            pass
        deltas = self._channels.take()
        if self._unmarked is not None:
            self._unmarked += [delta.text for delta in deltas if isinstance(delta, ReasoningDelta)]
        return deltas

    def _marks_of_calls(self, style: CallStyle) -> tuple[str, ...]:
        if style is CallStyle.KIMI:
            return (self._marks.section_begin, self._marks.call_begin)
        return (tool_calls.OPEN, tool_calls.FENCE, tool_calls.BRACE)

    # ---- states: each eats what it can of the buffer, and returns whether the next state should have a look

    def _read_start(self, is_last: bool) -> bool:
        """Before anything was said: the mark that opens reasoning may come, or be there in the prompt."""
        text = self._buffer.lstrip()
        if text.startswith(self._marks.think_open):
            self._buffer = text.removeprefix(self._marks.think_open)
            self._channels.is_reasoning = True
            self._unmarked = None
            return self._enter(self._read_reasoning)
        if self._marks.think_open.startswith(text) and not is_last:
            return False
        return self._enter(self._read_reasoning if self._starts_in_reasoning else self._read_content)

    def _read_reasoning(self, is_last: bool) -> bool:
        # Bare JSON in reasoning is a thought of a call, not one.
        calls = tuple(mark for mark in self._call_marks if mark != tool_calls.BRACE)
        found = markers.find(self._buffer, (self._marks.think_close, *calls), is_last=is_last)
        self._buffer = found.after
        self._channels.say(found.before)
        if found.marker == self._marks.think_close:
            self._close_reasoning()
            return self._enter(self._read_content)
        return self._meet(found.marker)

    def _read_content(self, is_last: bool) -> bool:
        found = markers.find(self._buffer, self._content_marks(), is_last=is_last)
        self._buffer = found.after
        self._channels.say(found.before)
        return self._meet(found.marker)

    def _read_after_calls(self, is_last: bool) -> bool:
        found = markers.find(self._buffer, (*self._content_marks(), *self._late_marks), is_last=is_last)
        self._buffer = found.after
        self._is_done = bool(found.before.strip())
        return not self.is_done and (found.marker in self._late_marks or self._meet(found.marker))

    def _content_marks(self) -> tuple[str, ...]:
        may_close = self._channels.is_reasoning or self.expects_close
        return (*self._call_marks, self._marks.think_close) if may_close else self._call_marks

    def _close_reasoning(self) -> None:
        self._channels.is_reasoning = self.expects_close = False
        self._unmarked = None

    def _meet(self, mark: str) -> bool:
        if mark == self._marks.think_close:
            # A call was made in open reasoning, or a close was forced: the late mark says nothing new.
            self._close_reasoning()
            return True
        if mark in (self._marks.section_begin, self._marks.call_begin):
            self._kimi.begin(mark)
            self._state = self._read_kimi
        elif mark == tool_calls.OPEN:
            self._state = self._read_call
        elif mark == tool_calls.FENCE:
            self._state = self._read_fence
        elif mark == tool_calls.BRACE:
            self._state = self._read_bare
        return bool(mark)

    def _read_kimi(self, is_last: bool) -> bool:
        self._buffer, is_over = self._kimi.read(self._buffer, is_last=is_last)
        return is_over and self._leave_block()

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
        if not (self._channels.is_line_start and tool_calls.may_be_call(text, self._tools)):
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
        elif self.num_calls:
            self._is_done = True
            return False
        else:
            self._channels.say(opening + body + closing)
        return self._leave_block()

    def _leave_block(self) -> bool:
        """Back to text: that after the calls, or, had the block none, where it stood before."""
        if self.num_calls:
            return self._enter(self._read_after_calls)
        self._state = self._read_reasoning if self._channels.is_reasoning else self._read_content
        return bool(self._buffer)

    def _enter(self, state: State) -> bool:
        self._state = state
        self._channels.enter()
        return True

    def _call(self, call: tool_calls.Call) -> None:
        call_id = f"functions.{call.name}:{self._num_calls_before + self.num_calls}"
        delta = ToolCallDelta(index=self.num_calls, id=call_id, name=call.name, arguments=call.arguments)
        self._channels.call(delta)
