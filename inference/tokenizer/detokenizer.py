"""Token ids to text as they come: a character is given out once all its bytes are there."""

import codecs
from collections.abc import Iterable

from inference.tokenizer.tokenizer import Tokenizer


class Detokenizer:
    """Of one sequence. Bytes that can never become a character turn into U+FFFD.

    With `shows_marks` the tokens that mark reasoning and calls come out as the signs of `Tokenizer.marks`.
    """

    def __init__(self, tokenizer: Tokenizer, *, shows_marks: bool = False) -> None:
        self._shown_bytes = tokenizer.shown_bytes
        self._signs = tokenizer.mark_signs if shows_marks else {}
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token_ids: Iterable[int]) -> str:
        return "".join(map(self._feed_one, token_ids))

    def finish(self) -> str:
        """What is left of a character that was never completed."""
        return self._decoder.decode(b"", final=True)

    def _feed_one(self, token_id: int) -> str:
        sign = self._signs.get(token_id)
        if sign is None:
            return self._decoder.decode(self._shown_bytes(token_id))
        # A mark never stands inside a character.
        cut = self._decoder.decode(b"", final=True)
        return cut + sign
