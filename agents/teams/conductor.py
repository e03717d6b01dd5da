"""Who gives a turn's agents their tasks, and when: the port between the loop and the ways of working
together.

A conductor keeps no state: what was done stands in the agents' states and in the turn's notes, so that a
worker that takes over goes on where another died.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from agents.transcript import NoteKind, Transcript

if TYPE_CHECKING:  # the loop calls conductors; they know its types only
    from agents.steps.progress import Outcome, Parked, Progress
    from agents.steps.setting import Setting


class Conductor(Protocol):
    async def conduct(self, setting: Setting, progress: Progress) -> Outcome | Parked | None:
        """Called when a segment begins. Parked: agents are at work; call again when woken. None: nothing is
        left to do here, the turn goes on by itself. An outcome ends the turn."""
        ...


def forbids_tools(transcript: Transcript) -> bool:
    """Whether the step to come is to bring together what agents found, by thinking alone."""
    note = transcript.last(NoteKind.TEAM)
    return note is not None and note.data.get("text_only") is True and note.step == len(transcript.steps)
