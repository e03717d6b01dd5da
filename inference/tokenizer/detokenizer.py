"""Token ids to text as they come: a character is given out once all its bytes are there."""

import codecs
from collections.abc import Iterable

from inference.tokenizer.tokenizer import Tokenizer


class Detokenizer:
    """Of one sequence. Bytes that can never become a character turn into U+FFFD."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token_ids: Iterable[int]) -> str:
        return self._decoder.decode(b"".join(map(self._tokenizer.token_bytes, token_ids)))

    def finish(self) -> str:
        """What is left of a character that was never completed."""
        return self._decoder.decode(b"", final=True)
