"""What of a turn came from outside: the least trusted text in the model's view, and the addresses that no
model has made up.

It only ever grows: text that has left the view has been read.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agents.tool import Fault, ToolResult, Trust, least_trusted
from agents.tooling import argument_repair, outgoing
from agents.transcript import CallRecord, NoteKind, Transcript
from inference.schema import ChatMessage, Role

_NOT_RUN = (Fault.UNKNOWN_TOOL, Fault.BAD_ARGUMENTS, Fault.REFUSED)
_LONG_WORD = re.compile(r"[A-Za-z0-9@._-]{5,}")


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """`known_urls` are in the spelling of `agents.tooling.outgoing.plain`. `told_bits` is what addresses that
    the model made up after a stranger's text have told their hosts, and a share of what its choices among
    known ones have: `opened_urls` are those that were chosen before."""

    trust: Trust = Trust.USER
    known_urls: frozenset[str] = frozenset()
    opened_urls: frozenset[str] = frozenset()
    told_bits: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What the turn begins with, earlier turns among it. `is_by_person`: its user messages were written by a
    person; those of an agent were not."""

    exposure: Exposure = Exposure()
    is_by_person: bool = True


class Exposed:
    """The exposure of a turn, kept up with its transcript."""

    def __init__(self, opening: Opening = Opening()) -> None:
        self._opening = opening
        self._trust = opening.exposure.trust
        self._known = set(opening.exposure.known_urls)
        self._opened = set(opening.exposure.opened_urls)
        self._told_bits = opening.exposure.told_bits
        self._num_steps: int | None = None
        self._num_notes = 0

    def before(self, transcript: Transcript, step: int) -> Exposure:
        """What the model had read when it made the calls of this step. Steps never go down."""
        if self._num_steps is None:
            self._num_steps = 0
            self._read_opening(transcript.opening)
        while self._num_steps < len(transcript.steps) and transcript.steps[self._num_steps].number < step:
            for record in transcript.steps[self._num_steps].calls:
                self._read_result(record)
            self._num_steps += 1
        while self._num_notes < len(transcript.notes) and transcript.notes[self._num_notes].step < step:
            if transcript.notes[self._num_notes].kind is NoteKind.TEAM:
                self._trust = least_trusted(self._trust, Trust.AGENT)
            self._num_notes += 1
        known, opened = frozenset(self._known), frozenset(self._opened)
        return Exposure(trust=self._trust, known_urls=known, opened_urls=opened, told_bits=self._told_bits)

    def _read_opening(self, messages: Iterable[ChatMessage]) -> None:
        for message in messages:
            # What the platform says may quote what the model wrote.
            is_said = message.is_question and self._opening.is_by_person
            if message.role is Role.SYSTEM or is_said:
                self._learn(outgoing.urls_of(message.content))

    def _read_result(self, record: CallRecord) -> None:
        if record.result is None:
            return
        if record.result.fault not in _NOT_RUN:
            urls = set(outgoing.urls_in(_read(record.call.arguments)))
            if not self._trust.is_trusted:
                self._told_bits += self._told_by(urls)
            self._opened.update(map(outgoing.plain, urls))
        self._learn(passage.source for passage in record.result.passages)
        self._learn(self._found_in(record.result, record.call.arguments))
        self._trust = least_trusted(self._trust, record.result.trust)

    def _told_by(self, urls: Iterable[str]) -> float:
        known, opened = frozenset(self._known), frozenset(self._opened)
        told = sum(outgoing.new_bits(url, known, opened=opened) for url in urls)
        # More than a call may tell by itself was a person's decision.
        return told if told <= outgoing.MAX_NEW_BITS else 0.0

    def _found_in(self, result: ToolResult, arguments: str) -> Iterable[str]:
        """The addresses that a result brings. Not those that may have been put together out of what the model
        wrote: from a tool that computes, once a stranger may have told the model what to compute; from a page
        that repeats what it was asked for."""
        is_told = not self._trust.is_trusted
        if result.trust in (Trust.AGENT, Trust.MCP) or (is_told and result.trust is Trust.OPERATOR):
            return []
        urls = list(outgoing.urls_of(result.for_model))
        known = "\n".join(self._known) if urls else ""
        asked = {word for word in _LONG_WORD.findall(arguments) if word not in known}
        return [url for url in urls if not any(word in url for word in asked)]

    def _learn(self, urls: Iterable[str]) -> None:
        self._known.update(outgoing.plain(url) for url in urls)


def _read(arguments: str) -> Any:
    """What the tool was given: an address may be spelled with escapes, or stand in arguments that were
    repaired."""
    try:
        return json.loads(argument_repair.whole_object(arguments, may_close=True))
    except (argument_repair.Irreparable, ValueError, RecursionError):
        return arguments
