"""What failed its test is not offered, and says why."""

from pathlib import Path

import pytest

from agents.sandbox import cell, launch, seccomp, tiers
from agents.sandbox.sessions import Launcher
from agents.sandbox.tiers import Name

PASSES = tiers.active().is_offered
passes = pytest.mark.skipif(not PASSES, reason="no sandbox on this machine")


@passes
def test_a_sandbox_that_passes_says_what_counts_its_memory() -> None:
    assert "bubblewrap passed its test" in tiers.active().reason


@passes
def test_a_sandbox_with_a_hole_is_not_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    holed = tmp_path / "python"
    holed.write_text(
        "#!/bin/sh\n"
        'exec /usr/bin/python3 -I -S -c "'
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from agents.sandbox import cell, launcher\n"
        "whole = cell._words\n"
        "def holed(place, filter_fd):\n"
        "    words = whole(place, filter_fd)\n"
        "    words[1:1] = ['--ro-bind', '/etc', '/etc']\n"
        "    at = words.index('--seccomp'); del words[at:at + 2]\n"
        "    return words\n"
        "cell._words = holed\n"
        'launcher.main()" "$5"\n'
    )
    holed.chmod(0o755)
    launcher = Launcher(python=(str(holed),))
    try:
        tier = tiers.tried(launcher)
    finally:
        launcher.close()
    assert tier.name is Name.NONE
    assert "accounts were read" in tier.reason
    assert "system calls are not filtered" in tier.reason


def test_without_bubblewrap_nothing_is_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(launch, "SYSTEM_PATH", str(tmp_path))
    tier = tiers.tried()
    assert (tier.is_offered, "Install the packages bubblewrap" in tier.reason) == (False, True)


def test_a_launcher_that_does_not_start_is_a_reason(tmp_path: Path) -> None:
    tier = tiers.tried(Launcher(python=("/usr/bin/false",)))
    assert not tier.is_offered


def test_on_a_machine_whose_calls_are_unknown_there_is_no_filter() -> None:
    with pytest.raises(seccomp.UnknownMachine, match="sparc"):
        seccomp.program("sparc")
    assert len(seccomp.program("x86_64")) % 8 == len(seccomp.program("aarch64")) % 8 == 0


@passes
def test_a_passed_test_is_kept_until_something_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "folder" / "tier.json"
    tiers._tried_once.cache_clear()
    assert tiers.active(kept_in=kept).is_offered
    tiers._tried_once.cache_clear()
    monkeypatch.setattr(tiers, "tried", lambda: tiers.Tier(Name.NONE, "tried again"))
    assert tiers.active(kept_in=kept).is_offered
    tiers._tried_once.cache_clear()
    monkeypatch.setattr(tiers, "PYTHON", cell.PYTHON + "3")
    assert tiers.active(kept_in=kept).reason == "tried again"
    tiers._tried_once.cache_clear()
