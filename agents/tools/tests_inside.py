"""Runs inside the sandbox: the tests of the work folder, by pytest. Its arguments are a mark and a request as
JSON; each line that begins with the mark is said to the tool outside, the last one is the report.

The tests run in this very process: nothing that it says is trusted.
"""

import json
import os
import sys
from typing import Any

PACKAGES, LIBRARIES = "/packages", "/libraries"
MAX_FAILED = 50
SHOWN_WHOLE = 3
MAX_CHARS = 6_000
MAX_LINE_CHARS = 300


class Recorder:
    """A plugin of pytest that keeps what became of each test."""

    def __init__(self, say: Any) -> None:
        self._say = say
        self.counts: dict[str, int] = {}
        self.failed: list[dict[str, Any]] = []

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._say({"running": nodeid[:MAX_LINE_CHARS]})

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            is_error = report.failed and report.when != "call"
            self._count("errors" if is_error else _outcome(report))
        if report.failed:
            self._keep(report)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._count("errors")
            self._keep(report)

    def _count(self, outcome: str) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + 1

    def _keep(self, report: Any) -> None:
        if len(self.failed) == MAX_FAILED:
            return
        crash = getattr(report.longrepr, "reprcrash", None)
        text = report.longreprtext
        last = text.strip().rpartition("\n")[2]
        self.failed.append(
            {
                "test": report.nodeid[:MAX_LINE_CHARS],
                "path": os.path.relpath(crash.path) if crash else "",
                "line": crash.lineno if crash else 0,
                "message": (crash.message if crash else last).strip().partition("\n")[0][:MAX_LINE_CHARS],
                "text": text[-MAX_CHARS:] if len(self.failed) < SHOWN_WHOLE else "",
                "printed": report.capstdout[-1_000:] if len(self.failed) < SHOWN_WHOLE else "",
            }
        )


def _outcome(report: Any) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    return str(report.outcome)


def main() -> None:
    mark, request = sys.argv[1], json.loads(sys.argv[2])
    sys.path += [PACKAGES, LIBRARIES]
    sys.dont_write_bytecode = True
    import pytest

    out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")

    def say(what: dict[str, Any]) -> None:
        out.write(f"\n{mark}{json.dumps(what)}\n")
        out.flush()

    recorder = Recorder(say)
    # Only now may modules of the work folder be found: they could stand in the way of those used here.
    sys.path.insert(0, os.getcwd())
    sys.argv[:] = ["pytest"]
    words = ["-qq", "--tb=short", "--show-capture=no", "--no-summary", "-p", "no:cacheprovider", "--color=no"]
    words += [f"--maxfail={MAX_FAILED}", *(["-k", request["only"]] if request["only"] else [])]
    status = pytest.main([*words, "--", request["path"]], plugins=[recorder])
    say({"status": int(status), "counts": recorder.counts, "failed": recorder.failed})


if __name__ == "__main__":
    main()
