"""Tools as an operator adds them: one reads strangers' text and is kept, two change the world.

What they did is in the ledger of the test.
"""

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents import custom_tools
from agents.tool import Approval, Effect, NewPassage, ToolContext, ToolResult, Trust
from agents.tool_function import tool
from tests.loopforge import ledger
from tests.loopforge.ledger import Ledger

FOUND = "https://found.example/a/page/of/many/words"


@tool(trust=Trust.WEB, keep_s=600)
async def gazette(page: int, context: ToolContext) -> str:
    """Reads a page of the gazette."""
    Ledger.of_environment().note_attempt("gazette", f"{page}")
    await asyncio.sleep(0.2)
    return f"Page {page}: nothing new."


@tool(effect=Effect.EXTERNAL, trust=Trust.OPERATOR)
async def wire(to: str, context: ToolContext, amount: int = 1) -> str:
    """Wires money."""
    Ledger.of_environment().note_effect("wire", context.key, f"{to} {amount}", once=False)
    return f"Wired {amount} to {to}."


@tool(effect=Effect.EXTERNAL, trust=Trust.OPERATOR, approval=Approval.ALWAYS)
async def sign(text: str, context: ToolContext) -> str:
    """Signs a text in the person's name."""
    Ledger.of_environment().note_effect("sign", context.key, text, once=False)
    return f"Signed: {text}"


@tool(trust=Trust.WEB)
async def find(words: str) -> ToolResult:
    """Searches."""
    found = NewPassage(source=FOUND, title="Found", text="It is there.", fetched_at=datetime.now(UTC))
    return ToolResult(for_model=f"It is there {words}.", passages=(found,))


@tool(trust=Trust.WEB)
async def read(url: str, context: ToolContext) -> str:
    """Opens a page."""
    Ledger.of_environment().note_effect("read", context.key, url, once=False)
    return "A page."


ALL = [gazette, wire, sign, find, read]


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The tools, installed for this process and for those that it starts."""
    info = tmp_path / "site" / "outside_tools-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-tools\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[agents.tools]\noutside = {__name__}:ALL\n")
    monkeypatch.setenv(ledger.VARIABLE, str(tmp_path / "ledger.sqlite3"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    custom_tools.installed.cache_clear()
    yield Ledger(tmp_path / "ledger.sqlite3")
    sys.path_importer_cache.clear()
    custom_tools.installed.cache_clear()
