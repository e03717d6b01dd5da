"""Proves that the vendored browser files are what scripts/vendor.mjs wrote: `python -m webapp.vendored`."""

import hashlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (ROOT / "static" / "vendor", ROOT / "tests" / "e2e" / "vendor")


def faults(folder: Path) -> list[str]:
    """What differs between the folder and its SHA256SUMS, one sentence each; empty when nothing does."""
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    present = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    present.pop("SHA256SUMS")
    found = [f"{folder / name} is listed in SHA256SUMS but missing" for name in sums.keys() - present.keys()]
    found += [f"{folder / name} is not listed in SHA256SUMS" for name in present.keys() - sums.keys()]
    for name in sums.keys() & present.keys():
        if hashlib.sha256(present[name].read_bytes()).hexdigest() != sums[name]:
            found.append(f"{folder / name} was changed since it was vendored: run `npm ci && npm run vendor`")
    return sorted(found)


def main() -> int:
    found = [fault for folder in FOLDERS for fault in faults(folder)]
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
