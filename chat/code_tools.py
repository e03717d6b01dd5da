"""The tools that run code: offered where this machine's sandbox has passed its test."""

from functools import cache, partial
from pathlib import Path

from asgiref.sync import sync_to_async
from django.conf import settings

from agents.sandbox import packages, tiers
from agents.sandbox.sessions import Launcher
from agents.sandbox.turn_sandbox import Pool, TurnSandbox
from agents.tool import Tool
from agents.tools import run_python
from agents.tools.run_python import RunPython
from agents.tools.shell import Shell
from agents.workspace import TurnFiles
from chat import workspaces
from chat.models import Turn
from inference.schema import ToolSpec


def packages_folder() -> Path:
    return _folder() / "packages"


def _folder() -> Path:
    return Path(settings.VAR_DIR) / "sandbox"


def specs() -> tuple[ToolSpec, ...]:
    """What they add to a prompt at most: whether the sandbox works is found out where it is used."""
    return (run_python.spec(has_packages=_has_packages()), Shell.spec)


def tools_of(turn: Turn) -> list[Tool]:
    """They share one work folder, which is the turn's own. Blocking: the first call tries the sandbox."""
    if not tiers.active(kept_in=_folder() / "tier.json").is_offered:
        return []
    sandbox = sandbox_of(turn)
    return [RunPython(sandbox, has_packages=_has_packages()), Shell(sandbox)]


def sandbox_of(turn: Turn) -> TurnSandbox:
    """It is not started, nor are the turn's files taken up, before something is run in it."""
    return TurnSandbox(_pool(), str(turn.id), files_of(turn))


def files_of(turn: Turn) -> TurnFiles:
    return TurnFiles(
        sync_to_async(partial(workspaces.of_turn, turn)),
        has_begun=partial(workspaces.has_used_files, turn),
    )


@cache
def _pool() -> Pool:
    """Of this process. Its sandboxes end with it."""
    return Pool(Launcher(packages.installed(packages_folder())))


@cache
def _has_packages() -> bool:
    return packages.installed(packages_folder()) is not None
