"""Proves that browser files which no person wrote are what our scripts wrote: `python -m webapp.vendored`.

Those of others come by scripts/vendor.mjs, what is built of ours, as it is now, by scripts/bundle.mjs.
"""

import hashlib
import sys
from pathlib import Path

from webapp import bundles

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (ROOT / "static" / "vendor", bundles.COMMITTED, ROOT / "tests" / "e2e" / "vendor")


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
            found.append(
                f"{folder / name} was changed by hand: run `npm ci && npm run vendor && make bundle`"
            )
    return sorted(found)


def main() -> int:
    found = [fault for folder in FOLDERS for fault in faults(folder)]
    if not bundles.is_fresh():
        found.append(f"{bundles.COMMITTED} is older than its sources: run `make bundle`")
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
