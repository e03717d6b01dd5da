"""What a call of the sandbox brought, in words for the model, and the files it made as artifacts."""

import base64
import mimetypes
from typing import Protocol

from agents.sandbox.sessions import OUTPUT_BYTES, Outcome
from agents.sandbox.watching import Ending
from agents.tool import Fault, NewArtifact, ToolResult, ToolUsage
from agents.workspace import BadPath, NoSuchFile, WorkspaceFull

# One call after another, and none while a rollback puts files back.
RESOURCES = frozenset({"workspace", "files"})
DEFAULT_TIMEOUT_S = 30
LONGEST_TIMEOUT_S = 120
MAX_ARTIFACTS = 8
MAX_ARTIFACT_BYTES = 3_000_000
MAX_PATHS = 20

_CUT = {
    Ending.TIMEOUT: "It was stopped after {wall_s:.0f} seconds. Do less at once, or give more timeout_s.",
    Ending.MEMORY: "It was stopped: it needed more than 1 GiB of memory. Work in smaller pieces.",
    Ending.PROCESSES: "It was stopped: it started more than 64 processes.",
    Ending.OUTPUT: "It was stopped: it wrote without end. Print less, or write to a file.",
    Ending.CRASHED: "Python itself ended{status}.",
    Ending.ABANDONED: "It was stopped.",
}


class Read(Protocol):
    def __call__(self, path: str, *, max_bytes: int) -> bytes: ...


_FAULTS = {Ending.TIMEOUT: Fault.TIMEOUT}
_STATE_IS_GONE = " Its variables and imports are gone; files that it wrote are still there."


def result(
    outcome: Outcome,
    *,
    wall_s: float,
    read: Read,
    first: str = "",
    keeps_variables: bool = False,
) -> ToolResult:
    """`read` gives a file of the work folder; `first` stands above everything."""
    has_failed = outcome.ending is not Ending.DONE or bool(outcome.error) or bool(outcome.status)
    parts = [first, _output(outcome), outcome.value, outcome.error, _ending(outcome, wall_s, keeps_variables)]
    parts.append(_files(outcome))
    text = "\n".join(part for part in parts if part)
    return ToolResult(
        for_model=text or "(no output)",
        is_error=has_failed,
        fault=_FAULTS.get(outcome.ending, Fault.FAILED) if has_failed else None,
        artifacts=_artifacts(outcome, read),
        usage=ToolUsage(sandbox_ms=outcome.wall_ms),
    )


def _output(outcome: Outcome) -> str:
    left_out = outcome.num_output_bytes - OUTPUT_BYTES
    cut = f"\n[{left_out} bytes of output more are left out]" if left_out > 0 else ""
    return f"{outcome.output.rstrip()}{cut}"


def _ending(outcome: Outcome, wall_s: float, keeps_variables: bool) -> str:
    if outcome.ending is Ending.DONE:
        return f"[It ended with status {outcome.status}]" if outcome.status else ""
    status = "" if outcome.status is None else f" with status {outcome.status}"
    text = _CUT[outcome.ending].format(wall_s=wall_s, status=status)
    return f"[{text}{_STATE_IS_GONE if keeps_variables else ''}]"


def _files(outcome: Outcome) -> str:
    lines = []
    if outcome.written:
        paths = [f"{path} ({size} bytes)" for path, size in outcome.written.items()]
        lines.append(f"[Files written: {_listed(paths)}]")
    if outcome.removed:
        lines.append(f"[Files removed: {_listed(list(outcome.removed))}]")
    if outcome.left_out:
        lines.append(f"[Not kept: {_listed(list(outcome.left_out))}]")
    return "\n".join(lines)


def _listed(paths: list[str]) -> str:
    more = len(paths) - MAX_PATHS
    return ", ".join(paths[:MAX_PATHS]) + (f" and {more} more" if more > 0 else "")


def _artifacts(outcome: Outcome, read: Read) -> tuple[NewArtifact, ...]:
    """The files made, those that are no text in base64, which their media type then says at its end."""
    artifacts: list[NewArtifact] = []
    for path, size in outcome.written.items():
        if size > MAX_ARTIFACT_BYTES or len(artifacts) == MAX_ARTIFACTS:
            continue
        try:
            content = read(path, max_bytes=MAX_ARTIFACT_BYTES)
        except (BadPath, NoSuchFile, WorkspaceFull):
            continue  # a further call has taken it away
        artifacts.append(artifact(path, content))
    return tuple(artifacts)


def artifact(path: str, content: bytes) -> NewArtifact:
    """The file, in base64 where it is no text."""
    guessed = mimetypes.guess_type(path)[0]
    try:
        text = content.decode()
        if "\0" not in text:
            return NewArtifact(name=path, text=text, media_type=guessed or "text/plain")
    except UnicodeDecodeError:
        pass
    encoded = base64.b64encode(content).decode()
    media_type = f"{guessed or 'application/octet-stream'};base64"
    return NewArtifact(name=path, text=encoded, media_type=media_type)
