"""What the tools of the work folder share: how they look at it, how they change it, what they answer."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.tool import Effect, Fault, ToolContext, ToolResult, Traits, Trust
from agents.workspace import BadPath, Change, NoSuchFile, TurnFiles, WorkFolder, WorkspaceFull
from inference.schema import ToolSpec

# One call after another, and none while code runs there or a rollback puts files back.
RESOURCES = frozenset({"workspace", "files"})
UPLOADS = "uploads/"
PATH = {"type": "string", "minLength": 1, "maxLength": 1_000}
TRAITS = Traits(effect=Effect.LOCAL, is_idempotent=True, trust=Trust.USER)


class Refused(Exception):
    """A call that makes no sense on these files; the text tells the model what to do."""


REFUSALS = (Refused, BadPath, NoSuchFile, WorkspaceFull)


@dataclass(frozen=True)
class Look:
    """What was seen. `is_theirs`: some of it is what a person has uploaded, who may not have written it."""

    text: str
    is_theirs: bool = False
    found_nothing: bool = False


def spec(name: str, description: str, required: Mapping[str, Any], **optional: Any) -> ToolSpec:
    return ToolSpec(
        name=name,
        description=" ".join(description.split()),
        parameters={
            "type": "object",
            "properties": {**required, **optional},
            "required": list(required),
            "additionalProperties": False,
        },
    )


async def changed(
    files: TurnFiles,
    context: ToolContext,
    make: Callable[[WorkFolder], Change],
    *,
    is_theirs: bool = False,
) -> ToolResult:
    """Carry it out once and whole, however often the call is run. `is_theirs`: what is told may quote an
    upload."""
    trust = Trust.DOCUMENT if is_theirs else Trust.OPERATOR
    try:
        workspace = await files.workspace()
        told = await asyncio.to_thread(workspace.change, context.key, step=context.step, make=make)
    except REFUSALS as refusal:
        return refused(refusal, trust=trust)
    return ToolResult(for_model=told, trust=trust)


async def looked(files: TurnFiles, look: Callable[[WorkFolder], Look]) -> ToolResult:
    try:
        workspace = await files.workspace()
        seen = await asyncio.to_thread(look, workspace.folder)
    except REFUSALS as refusal:
        return refused(refusal)
    trust = Trust.DOCUMENT if seen.is_theirs else Trust.OPERATOR
    return ToolResult(for_model=seen.text, trust=trust, found_nothing=seen.found_nothing)


def refused(refusal: Exception, *, trust: Trust = Trust.OPERATOR) -> ToolResult:
    return ToolResult(for_model=str(refusal), is_error=True, fault=Fault.BAD_ARGUMENTS, trust=trust)


def is_theirs(text: str) -> bool:
    """Whether a path, or a text with paths, names what a person has uploaded."""
    return UPLOADS in text
