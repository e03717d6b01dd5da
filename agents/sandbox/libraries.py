"""Pure-Python libraries of our own environment that programs in the sandbox may read.

They are shown one by one, read-only, at /libraries: what else is installed beside them is not seen. Nothing
compiled is among them, for the Python inside is the system's, not ours.
"""

import importlib.util
from pathlib import Path

from agents.sandbox.sessions import SandboxFailed

# With what they need themselves.
DOCUMENTS = ("pypdf", "openpyxl", "et_xmlfile", "mammoth", "cobble")
SYMBOLS = ("sympy", "mpmath")
RENAMING = ("rope", "pytoolconfig", "packaging", "platformdirs")
TESTING = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")


class LibraryMissing(SandboxFailed):
    """Our environment lacks a library; the text names it and says what to do."""


def places(*names: str) -> dict[str, Path]:
    """Where the module of each name lies: a folder, or a file such as six.py. Raises LibraryMissing."""
    return {place.name: place for place in map(_place, names)}


def _place(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise LibraryMissing(f"{name} is not installed: run `make install` again.")
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
