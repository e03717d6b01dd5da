"""Where manuscripts lie in the work folder: documents/NAME.json, and beside it what was made of them.

What is in the folder may have been changed by code that nobody trusts: it is read as such.
"""

import re

import msgspec

from agents.workspace import NoSuchFile, Workspace
from agents.writing.manuscript import ID, MAX_SECTIONS, Manuscript

FOLDER = "documents"
DEFAULT = "report"
MAX_BYTES = 12 * 2**20
_NAME = re.compile(ID)


class NoManuscript(Exception):
    """There is no such document, or it cannot be read; the text says what to do."""


def path_of(name: str, ending: str = "json") -> str:
    """Raises NoManuscript for what is no name."""
    if not _NAME.fullmatch(name):
        raise NoManuscript(f"{name!a:.80} cannot be a name: use up to 40 letters, digits, dots and dashes.")
    return f"{FOLDER}/{name}.{ending}"


def load(workspace: Workspace, name: str) -> Manuscript:
    """Raises NoManuscript."""
    path = path_of(name)
    try:
        content = workspace.folder.read(path, max_bytes=MAX_BYTES)
        found = msgspec.json.decode(content, type=Manuscript)
    except NoSuchFile as missing:
        known = ", ".join(names(workspace)) or "none yet"
        raise NoManuscript(
            f"There is no document {name!r} ({known}). Begin it with the action outline."
        ) from missing
    except (msgspec.MsgspecError, UnicodeDecodeError) as broken:
        raise NoManuscript(f"{path} was changed by something else and is no document any more.") from broken
    if len(found.sections) > MAX_SECTIONS:
        raise NoManuscript(f"{path} has more than {MAX_SECTIONS} sections.")
    return found


def save(workspace: Workspace, name: str, manuscript: Manuscript, *, step: int) -> None:
    """Whole or not at all; the step can be gone back to. Raises NoManuscript, WorkspaceFull."""
    content = msgspec.json.format(msgspec.json.encode(manuscript), indent=1)
    workspace.put(path_of(name), content)
    workspace.take(step)


def names(workspace: Workspace) -> list[str]:
    paths = (file.path for file in workspace.folder.files())
    beginning, end = f"{FOLDER}/", ".json"
    found = (path for path in paths if path.startswith(beginning) and path.endswith(end))
    plain = (path.removeprefix(beginning).removesuffix(end) for path in found)
    return [name for name in plain if _NAME.fullmatch(name) and not name.endswith(".sources")]
