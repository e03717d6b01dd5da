"""The manuals that Debian's documentation packages put on this machine, as one corpus."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.corpus import folders
from agents.corpus.building import Source
from agents.corpus.documents import Document
from agents.corpus.folders import NoDocuments, OnLeftOut

NAME = "manuals"
ROOT = Path("/usr/share/doc")


@dataclass(frozen=True)
class Manual:
    """A package, and where below /usr/share/doc its HTML lies."""

    package: str
    folder: str


MANUALS = (
    Manual("python3.11-doc", "python3.11/html"),
    Manual("postgresql-doc-15", "postgresql-doc-15/html"),
    Manual("sqlite3-doc", "sqlite3-doc"),
    Manual("git-doc", "git-doc"),
    Manual("python-django-doc", "python-django-doc/html"),
    Manual("debian-policy", "debian-policy/policy.html"),
    Manual("debian-reference-en", "debian-reference-en"),
    Manual("debian-handbook", "debian-handbook/html/en-US"),
)
# Indices repeat what the pages say; sources are the same text again.
_LEFT_OUT = ("_sources", "genindex", "py-modindex", "_modules", "search.html", "bookindex")


def source(*, root: Path = ROOT, on_left_out: OnLeftOut | None = None) -> Source:
    """Those that are installed. Raises NoDocuments, naming the packages."""
    found = {manual: _files(root / manual.folder) for manual in MANUALS if (root / manual.folder).is_dir()}
    found = {manual: paths for manual, paths in found.items() if paths}
    if not found:
        packages = " ".join(manual.package for manual in MANUALS)
        raise NoDocuments(f"No manuals lie in {root}: apt-get install {packages}")
    versions = {manual.package: _version(manual.package) for manual in found}

    def documents() -> Iterator[Document]:
        for manual, paths in found.items():
            folder, prefix = root / manual.folder, f"{NAME}/{manual.package}"
            yield from folders.documents(paths, root=folder, prefix=prefix, on_left_out=on_left_out)

    return Source(
        name=NAME,
        origin="Debian: " + ", ".join(f"{name} {version}".strip() for name, version in versions.items()),
        version=folders.version_of([path for paths in found.values() for path in paths]),
        documents=documents(),
        num_expected=sum(map(len, found.values())),
    )


def _files(folder: Path) -> list[Path]:
    pages = (path for path in folders.files(folder) if path.suffix == ".html")
    return [path for path in pages if not any(part in str(path) for part in _LEFT_OUT)]


def _version(package: str) -> str:
    """What dpkg says, "" where it does not know."""
    try:
        asked = ["dpkg-query", "--show", "--showformat=${Version}", package]
        return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
