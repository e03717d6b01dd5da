"""A grammar's state over one sequence of tokens, by llguidance."""

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from numpy.typing import NDArray

from inference.constraints import compiling
from inference.constraints.compiling import BadGrammar
from inference.constraints.grammars import first_line


class Matcher:
    """What the grammar lets come next. After a fault, which `fault` words, it has ended."""

    def __init__(self, vocabulary: LLTokenizer, grammar: str) -> None:
        """Raises BadGrammar."""
        self._vocabulary = vocabulary
        self._matcher = compiling.run(self._compiled, grammar)
        if self._matcher.is_error():
            raise BadGrammar(f"The answer cannot be bound to this: {first_line(self._matcher.get_error())}")

    def _compiled(self, grammar: str) -> LLMatcher:
        matcher = LLMatcher(self._vocabulary, grammar, log_level=0)
        if not matcher.is_error():
            matcher.compute_bitmask()  # what nothing can begin is found out now, not in the answer
        return matcher

    def fresh(self) -> "Matcher":
        """The same grammar, from wherever this one stands, with a state of its own."""
        copied = Matcher.__new__(Matcher)
        copied._vocabulary = self._vocabulary
        copied._matcher = self._matcher.deep_copy()
        return copied

    @property
    def fault(self) -> str:
        return first_line(self._matcher.get_error()) if self._matcher.is_error() else ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more can come."""
        return bool(self._matcher.is_stopped())

    def mask(self) -> NDArray[np.uint32]:
        """Bits of the allowed tokens, the lowest first; the stop tokens' too, where the grammar may end."""
        mask = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint32)
        return mask if not self._matcher.is_error() else self._only(self._vocabulary.eos_tokens)

    def _only(self, token_ids: list[int]) -> NDArray[np.uint32]:
        mask = np.zeros(-(-self._vocabulary.vocab_size // 32), dtype=np.uint32)
        for token_id in token_ids:
            mask[token_id // 32] |= np.uint32(1 << (token_id % 32))
        return mask

    def forced(self) -> list[int]:
        return list(self._matcher.compute_ff_tokens())

    def accept(self, token_id: int) -> bool:
        """False when the grammar does not let it come; nothing more can come then."""
        return bool(self._matcher.consume_token(token_id))

    def accept_bytes(self, text: bytes) -> bool:
        """As `accept`, for text that is there already."""
        return bool(self._matcher.consume_tokens(self._vocabulary.tokenize_bytes(text)))
