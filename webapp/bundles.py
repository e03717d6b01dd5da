"""What a page loads of our scripts and styles: the few files built of them, or the sources themselves.

`make bundle` builds and the result is committed, so that no site needs Node. Sources that differ from what
was built are given as they are: slower, and right. It knows no page, only names.
"""

import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "static" / "built"


@cache
def files(name: str) -> list[str]:
    """The static files of a page's "chat.js" or "chat.css": its own first, then what that imports."""
    folder = Path(settings.BUNDLE_DIR)
    if is_fresh(folder):
        return [f"built/{file}" for file in _manifest(folder)["pages"][name]]
    stem, _, kind = name.partition(".")
    return [f"js/{name}" if kind == "js" else f"css/{stem}-page.css"]


def is_fresh(folder: Path = COMMITTED) -> bool:
    return _manifest(folder).get("sources") == sources_digest()


def sources_digest() -> str:
    """One digest of all that the build reads; scripts/bundle.mjs makes the same."""
    names = ["package-lock.json", "scripts/bundle.mjs", "static/vendor/SHA256SUMS"]
    for folder, suffix in (("static/js", ".js"), ("static/css", ".css")):
        names += [f"{folder}/{path.name}" for path in (ROOT / folder).glob(f"*{suffix}")]
    sums = hashlib.sha256()
    for name in sorted(names):
        sums.update(f"{hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}  {name}\n".encode())
    return sums.hexdigest()


def build(folder: Path) -> None:
    """Builds into the folder, with the tools of `npm ci`; raises where they are missing."""
    subprocess.run(["node", "scripts/bundle.mjs", str(folder)], cwd=ROOT, check=True)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found
