"""Stop strings: the answer ends before the first of them, wherever the pieces of text are cut."""

from collections.abc import Iterable

from inference.parsers import markers


class StopStrings:
    """Passes text through until a stop string appears; a piece that may be the start of one is kept back."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._kept = ""
        self.met = ""  # the stop string that ended the answer

    @property
    def is_hit(self) -> bool:
        return bool(self.met)

    def feed(self, text: str) -> str:
        return self._pass(text, is_last=False)

    def finish(self) -> str:
        """What was kept back and is no stop string after all."""
        return self._pass("", is_last=True)

    def _pass(self, text: str, *, is_last: bool) -> str:
        if self.is_hit:
            return ""
        found = markers.find(self._kept + text, self._stops, is_last=is_last)
        self.met = found.marker
        self._kept = "" if self.is_hit else found.after
        return found.before
