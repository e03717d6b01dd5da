"""Libraries of ours are read in the sandbox, and nothing that lies beside them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.sandbox import libraries, tiers
from agents.sandbox.sessions import Launcher, Session

pytestmark = pytest.mark.skipif(not tiers.active().is_offered, reason="no sandbox on this machine")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    launcher = Launcher(libraries=libraries.places(*libraries.DOCUMENTS, *libraries.TESTING))
    yield launcher.session(tmp_path)
    launcher.close()
    shutil.rmtree(tmp_path)


def test_only_the_libraries_that_were_named_are_seen(session: Session):
    assert not session.python("import mammoth, openpyxl, pypdf", wall_s=30).error
    for other in ("sympy", "django", "celery"):
        assert "ModuleNotFoundError" in session.python(f"import {other}", wall_s=30).error


def test_nobody_inside_can_change_a_library(session: Session):
    for place in ("/libraries/new.py", "/libraries/pypdf/new.py", "/libraries/py.py"):
        assert "Read-only file system" in session.python(f"open({place!r}, 'w')", wall_s=30).error


def test_pytest_runs_inside(session: Session, tmp_path: Path):
    (tmp_path / "test_sums.py").write_text("def test_sum():\n    assert 1 + 1 == 3\n")
    said = session.shell("python3 -m pytest -q", wall_s=60)
    assert "assert (1 + 1) == 3" in said.output
    assert "1 failed" in said.output


def test_a_library_that_we_lack_is_named():
    with pytest.raises(libraries.LibraryMissing, match="no_such_library is not installed"):
        libraries.places("no_such_library")
