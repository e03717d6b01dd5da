"""The manuals that Debian's documentation packages put on this machine, as one corpus."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agents.corpus import folders
from agents.corpus.building import Entry, Source
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
    Manual("sqlite3-doc", "sqlite3"),
    Manual("git-doc", "git-doc"),
    Manual("python-django-doc", "python-django-doc/html"),
    Manual("debian-policy", "debian-policy/policy.html"),
    Manual("debian-reference-en", "debian-reference-en/docs"),
    Manual("debian-handbook", "debian-handbook/html/en-US"),
)
# Indices repeat what the pages say; sources are the same text again.
_LEFT_OUT = (
    *("_sources", "genindex", "py-modindex", "_modules", "search.html", "bookindex", "capi3ref.html"),
    *("_crossref.html", "keyword_index.html", "audit_events.html", "sitemap.html"),
)
# What changed between versions names everything and explains little.
_NEWS = re.compile(r"/(?:releases|whatsnew|RelNotes|releaselog)/|/(?:release-[\d-]+|changes|\d+to\d+)\.html$")
_WEIGHT_OF_NEWS = 0.7
# "Lists — Python 3.11.2 documentation": the words of a whole manual say nothing of a page.
_TITLE_TAIL = re.compile(r"\s+—\s+[^—]*(?:documentation|Manual v[\d.]+)$")


def source(*, root: Path = ROOT, on_left_out: OnLeftOut | None = None) -> Source:
    """Those that are installed. Raises NoDocuments, naming the packages."""
    found = {manual: _files(root / manual.folder) for manual in MANUALS if (root / manual.folder).is_dir()}
    found = {manual: paths for manual, paths in found.items() if paths}
    if not found:
        packages = " ".join(manual.package for manual in MANUALS)
        raise NoDocuments(f"No manuals lie in {root}: apt-get install {packages}")
    versions = {manual.package: _version(manual.package) for manual in found}

    def entries() -> Iterator[Entry]:
        for manual, paths in found.items():
            folder, prefix = root / manual.folder, f"{NAME}/{manual.package}"
            for entry in folders.entries(paths, root=folder, prefix=prefix, on_left_out=on_left_out):
                yield replace(entry, read=partial(_page, entry))

    return Source(
        name=NAME,
        origin="Debian: " + ", ".join(f"{name} {version}".strip() for name, version in versions.items()),
        version=folders.version_of([path for paths in found.values() for path in paths]),
        entries=entries(),
        num_expected=sum(map(len, found.values())),
    )


def _page(entry: Entry) -> Document | None:
    document = entry.read()
    if document is None:
        return None
    weight = _WEIGHT_OF_NEWS if _NEWS.search(entry.id) else 1.0
    return replace(document, title=_TITLE_TAIL.sub("", document.title), weight=weight)


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
