"""Where parsed text goes: reasoning or content, in deltas without the space between channels."""

from collections.abc import Collection, Mapping

from inference.parsers.stop_strings import StopStrings
from inference.schema import ChatDelta, ContentDelta, ReasoningDelta, ToolCallDelta


class Channels:
    """`signs` are marks that stand for themselves in the text, and what each spells when it is only said."""

    def __init__(
        self, *, is_reasoning: bool, stop: Collection[str], signs: Mapping[str, str], has_begun: bool = False
    ) -> None:
        self.is_reasoning = is_reasoning
        self._stops = StopStrings(stop)
        self._signs = str.maketrans(dict(signs))
        self._space = ""  # kept back until it is known what it stands before
        self._is_blank = not has_begun  # nothing but space was said in this channel
        self._out: list[ChatDelta] = []
        self.num_calls = 0
        self.has_content = False

    @property
    def stop_met(self) -> str:
        """The stop string that was met, if any."""
        return self._stops.met

    @property
    def is_line_start(self) -> bool:
        return self._is_blank or "\n" in self._space

    def enter(self) -> None:
        """Another channel begins: space between two channels belongs to neither."""
        self._space = ""
        self._is_blank = True

    def say(self, text: str) -> None:
        text = text.lstrip() if self._is_blank else self._space + text
        said = text.rstrip()
        self._space = text[len(said) :]
        self._is_blank = self._is_blank and not said
        self._pass(said.translate(self._signs))

    def call(self, delta: ToolCallDelta) -> None:
        """A piece of a call; the first piece of each has its name."""
        if delta.name:
            self._emit_content(self._stops.finish())
            self.num_calls += 1
        self._out.append(delta)

    def take(self) -> list[ChatDelta]:
        """The deltas since the last time."""
        deltas, self._out = self._out, []
        return deltas

    def finish(self) -> None:
        """No more will be said: what was kept back goes out."""
        if not self.num_calls and not self.is_reasoning:
            self._pass(self._space)
        self._emit_content(self._stops.finish())

    def _pass(self, text: str) -> None:
        if self.is_reasoning:
            if text:
                self._out.append(ReasoningDelta(text))
            return
        self._emit_content(self._stops.feed(text))

    def _emit_content(self, text: str) -> None:
        if text:
            self.has_content = True
            self._out.append(ContentDelta(text))
