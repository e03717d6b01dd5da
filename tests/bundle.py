"""What ships of our scripts and styles, also while their sources are being edited: built anew, elsewhere."""

import shutil
from pathlib import Path

import pytest

from webapp import bundles


def up_to_date(folder: Path) -> Path:
    """Where the built files lie that belong to the sources as they are."""
    if bundles.is_fresh():
        return bundles.COMMITTED
    if not shutil.which("node") or not (bundles.ROOT / "node_modules" / "rollup").exists():
        pytest.fail("static/built is older than its sources: run `npm ci && make bundle`")
    bundles.build(folder)
    return folder
