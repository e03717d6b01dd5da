"""The files that a conversation works on: the folder as it is, and as it was after each step and turn."""

from agents.workspace.changes import Change
from agents.workspace.conversation_files import ConversationFiles, Shown
from agents.workspace.folder import BadPath, Caps, NoSuchFile, WorkFile, WorkFolder, WorkspaceFull
from agents.workspace.snapshots import Kept, Snapshot, SnapshotLost
from agents.workspace.turn_files import TurnFiles, Workspace, at_hand

__all__ = [
    "BadPath",
    "Caps",
    "Change",
    "ConversationFiles",
    "Kept",
    "NoSuchFile",
    "Shown",
    "Snapshot",
    "SnapshotLost",
    "TurnFiles",
    "WorkFile",
    "WorkFolder",
    "Workspace",
    "WorkspaceFull",
    "at_hand",
]
