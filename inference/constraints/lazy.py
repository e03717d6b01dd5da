"""An answer that is free until it calls a tool: from there on the call is bound to the tools at hand."""

import logging
import re
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from inference.constraints import grammars, vocabulary
from inference.constraints.compiling import BadGrammar
from inference.constraints.matcher import Matcher
from inference.schema import ToolSpec
from inference.tokenizer import marks
from inference.tokenizer.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

# What of the text is kept to look for the beginning of a call: more than a mark, a fence and a tool's name.
_TAIL_BYTES = 256
# A call in JSON begins at its mark; or on a line of its own or in a fence, where its tool's name tells it.
_BEGINNING = re.compile(
    rb"(?P<mark>" + re.escape(marks.TOOL_CALL_OPEN.encode()) + rb")"
    rb"|(?:\n|(?P<fence>```)[ \t]*(?:json|tool_call)?)\s*"
    rb"(?P<braces>\{+)\s*\"name\"\s*:\s*\"(?P<name>[^\"]+)\""
)


class LazyConstraint:
    """A `TokenConstraint`. It binds at tokens, or where the text begins a call in JSON; it frees again at the
    end of what it bound, and is finished at the end of calls that began at `section_id`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        at_token: Mapping[int, Matcher],
        section_id: int | None = None,
        at_mark: Matcher | None = None,
        tools: Collection[ToolSpec] = (),
    ) -> None:
        """`at_token` by token id. For calls in JSON of `tools`: `at_mark` is a call after its mark."""
        self._tokenizer = tokenizer
        self._at_token = at_token
        self._section_id = section_id
        self._at_mark = at_mark
        self._tools = {tool.name.encode(): tool for tool in tools}
        self._bound: Matcher | None = None
        self._is_section = False
        self._tail = b"\n"
        self.is_finished = False

    @property
    def fault(self) -> str:
        """Never one: a call that cannot go on as it should is free again."""
        return ""

    def mask(self) -> NDArray[np.uint32] | None:
        return self._bound.mask() if self._bound else None

    def forced(self) -> list[int]:
        return self._bound.forced() if self._bound else []

    def accept(self, token_ids: list[int]) -> None:
        for token_id in token_ids:
            if self._bound is None:
                self._look(token_id)
            else:
                self._bound.accept(token_id)
            if self._bound is not None and self._bound.has_ended:
                self.is_finished = self._is_section and not self._bound.fault
                self._bound, self._tail = None, b""

    def _look(self, token_id: int) -> None:
        if token_id in self._at_token:
            self._bound = self._at_token[token_id].fresh()
            self._is_section = token_id == self._section_id
        elif self._at_mark is not None:
            self._tail = (self._tail + self._tokenizer.bytes_of(token_id))[-_TAIL_BYTES:]
            if found := _BEGINNING.search(self._tail):
                self._bound = self._begun(found)
                self._tail = b""

    def _begun(self, found: re.Match[bytes]) -> Matcher | None:
        """The call that begins there; none when what came in one token with its beginning is none of it."""
        matcher = self._at_mark if found["mark"] else self._named(found)
        if matcher is None:
            return None
        bound, rest = matcher.fresh(), found.string[found.end() :]
        return bound if not rest or bound.accept_bytes(rest) else None

    def _named(self, found: re.Match[bytes]) -> Matcher | None:
        tool = self._tools.get(found["name"])
        if tool is None:
            return None
        num_braces, is_fenced = len(found["braces"]), found["fence"] is not None
        try:
            grammar = grammars.of_named_call(tool, num_braces=num_braces, is_fenced=is_fenced)
            return Matcher(vocabulary.of(self._tokenizer), grammar)
        except BadGrammar:  # a call of it is free, and checked before the tool runs
            logger.warning("the calls of a tool cannot be bound to its parameters", exc_info=True)
            return None
