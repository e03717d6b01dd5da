"""The tools that work on a turn's files; those that run code only where the sandbox has passed its test."""

import logging
from functools import cache, partial
from pathlib import Path

from django.conf import settings

from agents.algebra.session import Algebra
from agents.documents import sight
from agents.documents.extraction import BoundedExtractor, Extractor, SandboxExtractor
from agents.sandbox import libraries, packages, tiers
from agents.sandbox.sessions import Launcher
from agents.sandbox.tiers import Tier
from agents.sandbox.turn_sandbox import Pool, TurnSandbox
from agents.sandbox.wasm import bundle
from agents.tool import Tool
from agents.tools import run_python
from agents.tools.calculate import Calculate
from agents.tools.files.apply_patch import ApplyPatch
from agents.tools.files.edit_file import EditFile
from agents.tools.files.read_file import ReadFile
from agents.tools.files.rename_symbol import RenameSymbol
from agents.tools.files.search_files import SearchFiles
from agents.tools.files.write_file import WriteFile
from agents.tools.run_python import RunPython
from agents.tools.run_tests import RunTests
from agents.tools.shell import Shell
from agents.workspace import TurnFiles
from chat import own_loop, workspaces
from chat.models import Turn
from inference.schema import ToolSpec

logger = logging.getLogger(__name__)

MAX_WASM_SESSIONS = 4  # an idle one takes 200 MB
FILE_TOOLS = (ReadFile, WriteFile, EditFile, SearchFiles, ApplyPatch)


def tier() -> Tier:
    """Which sandbox this machine has, and why. Blocking: the first call tries it."""
    return tiers.active(kept_in=_folder() / "tier.json", bundle_in=wasm_folder())


def known_tier() -> Tier | None:
    """The same without trying it: None where no process has yet."""
    return tiers.kept(_folder() / "tier.json", bundle_in=wasm_folder())


def wasm_folder() -> Path:
    """Of what the second sandbox runs in, where `manage.py sandbox install-wasm` has brought it."""
    return _folder() / "wasm"


def sight_folder() -> Path:
    """Of what recognises text on pictures, where `manage.py sandbox install-ocr` has brought it."""
    return _folder() / "sight"


def packages_folder() -> Path:
    return _folder() / "packages"


def _folder() -> Path:
    return Path(settings.VAR_DIR) / "sandbox"


def specs() -> tuple[ToolSpec, ...]:
    """What they add to a prompt at most: whether the sandbox works is found out where it is used."""
    running = (
        run_python.spec(packages.SHOWN if has_packages() else ""),
        Shell.spec,
        RunTests.spec,
        RenameSymbol.spec,
    )
    return (*running, *(tool.spec for tool in FILE_TOOLS))


def tools_of(sandbox: TurnSandbox) -> list[Tool]:
    """They share the turn's work folder. Blocking: the first call tries the sandbox."""
    tools: list[Tool] = [tool(sandbox.files) for tool in FILE_TOOLS]
    if tier().is_offered:
        tools.append(RunPython(sandbox, packages=packages_shown()))
    if tier().has_programs:
        tools += [Shell(sandbox), RunTests(sandbox), RenameSymbol(sandbox)]
    return tools


def sandbox_of(turn: Turn) -> TurnSandbox:
    """It is not started, nor are the turn's files taken up, before something is run in it."""
    return TurnSandbox(_pool(), str(turn.id), files_of(turn))


def files_of(turn: Turn) -> TurnFiles:
    return TurnFiles(
        partial(own_loop.aside, workspaces.of_turn, turn),
        has_begun=partial(workspaces.has_used_files, turn),
    )


def calculator() -> Calculate:
    """With algebra where the sandbox works. Blocking: the first call tries the sandbox."""
    return Calculate(_algebra() if tier().has_programs else None)


@cache
def _algebra() -> Algebra:
    """Of this process. Its sandboxes end with it."""
    return Algebra()


@cache
def extractor() -> Extractor:
    """What reads people's files here. Of this process; blocking: the first call tries the sandbox."""
    return (
        SandboxExtractor(sight=sight.installed(sight_folder())) if tier().has_programs else BoundedExtractor()
    )


@cache
def _pool() -> Pool:
    """Of this process. Its sandboxes end with it."""
    if (wasm := tier().wasm) is not None:
        return Pool(Launcher(wasm=wasm), max_sessions=MAX_WASM_SESSIONS)
    shown: dict[str, Path] = {}
    try:
        shown = libraries.places(*libraries.TESTING, *libraries.RENAMING)
    except libraries.LibraryMissing:  # code runs without them, too
        logger.exception("run_tests and rename_symbol will not work")
    return Pool(Launcher(packages.installed(packages_folder()), libraries=shown))


def packages_shown() -> str:
    """What code finds besides the standard library, in words; empty when that is nothing."""
    if tier().wasm is not None:
        return bundle.SHOWN
    return packages.SHOWN if has_packages() else ""


@cache
def has_packages() -> bool:
    return packages.installed(packages_folder()) is not None
