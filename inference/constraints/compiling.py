"""llguidance's compiler, bounded: it descends once for each level of a grammar, on the stack of its thread.

A chain of 3,000 definitions runs through the 8 MB that a thread has, and ends the process. What is compiled
is used on any stack.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

# With the longest source, whose levels take 8 bytes at least, half of this stack is enough.
MAX_CHARS = 1 << 18
# llguidance never comes to an end with 5,413 rules in a chain, 75,000 characters of Lark.
MAX_WRITTEN_CHARS = 1 << 15
_STACK_BYTES = 512 << 20  # reserved; memory is taken as it is touched

_starting = threading.Lock()
Result = TypeVar("Result")


class BadGrammar(ValueError):
    """The schema, the pattern or the grammar cannot be followed; the text says what is wrong with it."""


def check_written(source: str) -> None:
    """Raises BadGrammar for a pattern or a grammar of a user's own that is too long."""
    if len(source) > MAX_WRITTEN_CHARS:
        raise BadGrammar(
            f"The pattern or the grammar is {len(source):,} characters long; at most {MAX_WRITTEN_CHARS:,} "
            "can be followed: make it shorter."
        )


def run(compile_source: Callable[[str], Result], source: str) -> Result:
    """What the function makes of the source, on a stack of its own. Raises BadGrammar for one too long."""
    if len(source) > MAX_CHARS:
        raise BadGrammar(
            f"The tools' schemas, or the form of the answer, are {len(source):,} characters long; at most "
            f"{MAX_CHARS:,} can be followed: take some out."
        )
    result: Future[Result] = Future()

    def work() -> None:
        try:
            result.set_result(compile_source(source))
        except BaseException as fault:  # handed on to the caller
            result.set_exception(fault)

    thread = threading.Thread(target=work, name="compile a grammar", daemon=True)
    with _starting:  # the size is one for all threads that start meanwhile
        before = threading.stack_size(_STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    return result.result()
