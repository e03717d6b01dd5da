"""An operator adds a tool as the README tells, word for word; what is broken is left out."""

import enum
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, datetime
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import pytest

from agents import custom_tools
from agents.tool import Fault, Intent, ToolContext, ToolResult, Traits
from agents.tool_function import BadTool, ToolFailed, tool
from agents.tooling.toolset import Toolset
from agents.tools.calculate import Calculate

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = ToolContext(key="turn.1.0", tenant="alice")
CALL = """
import asyncio
from agents import custom_tools
from agents.tool import Intent, ToolContext
from agents.tooling.toolset import Toolset
toolset = Toolset(custom_tools.installed())
intent = Intent(step=1, index=0, call_id="c", name="weather", arguments='{"city": "Oslo"}', key="k")
result = asyncio.run(toolset.run(intent, ToolContext(key="k")))
print(toolset.specs[0])
print(result.for_model, result.trust, result.is_error)
"""


@pytest.fixture
def weather_site() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{self.path} +7 C".encode())

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def readme_blocks() -> dict[str, str]:
    section = (ROOT / "README.md").read_text().partition("## Your own tools")[2].partition("\n## ")[0]
    return dict(re.findall(r"```(python|toml)\n(.*?)```", section, re.DOTALL))


def test_the_weather_tool_of_the_readme_works_as_written(tmp_path: Path, weather_site: str) -> None:
    blocks = readme_blocks()
    assert len([line for line in blocks["python"].splitlines() if line.strip()]) <= 10
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    (source / "weather_tool.py").write_text(blocks["python"].replace("https://wttr.in", weather_site))
    (source / "pyproject.toml").write_text(blocks["toml"])
    install = ["pip", "install", "-q", "--no-index", "--no-build-isolation", "--no-deps", "--target"]
    subprocess.run([sys.executable, "-m", *install, str(installed), str(source)], check=True, timeout=120)
    said = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=ROOT,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    spec, result = said.stdout.splitlines()
    assert "The weather in a city right now." in spec
    assert "its name in English" in spec
    assert result == "/Oslo?format=3 +7 C web False", said.stderr


class Unit(enum.Enum):
    KELVIN = "k"
    CELSIUS = "c"


@tool()
async def _alarm(at: datetime) -> str:
    """Rings."""
    return f"{at:%H:%M}"


@tool(name="report")
async def _report(
    day: date,
    context: ToolContext,
    unit: Unit = Unit.CELSIUS,
    size: Literal[1, 2] = 1,
    tags: list[str] | None = None,
) -> dict[str, Any]:
    """What was measured
    on a day.

    day: in UTC
    """
    if size == 2:
        raise ToolFailed("There is no large report: ask for size 1.")
    return {"day": day.isoformat(), "unit": unit.name, "tags": tags, "who": context.tenant}


async def run(arguments: str, *, name: str = "report") -> ToolResult:
    intent = Intent(step=1, index=0, call_id="c", name=name, arguments=arguments, key="k")
    result = await Toolset([_report, _alarm]).run(intent, CONTEXT)
    assert isinstance(result, ToolResult)
    return result


async def test_a_functions_type_hints_are_its_schema_and_what_it_is_given():
    parameters = _report.spec.parameters
    assert _report.spec.description == "What was measured on a day."
    assert parameters["required"] == ["day"]
    assert parameters["properties"]["day"]["description"] == "in UTC"
    assert "context" not in parameters["properties"]
    result = await run('{"day": "2026-11-23", "unit": "k", "tags": ["a"]}')
    assert json.loads(result.for_model) == {
        "day": "2026-11-23",
        "unit": "KELVIN",
        "tags": ["a"],
        "who": "alice",
    }
    assert (await run('{"day": "someday"}')).fault is Fault.BAD_ARGUMENTS
    assert (await run('{"at": "2026-11-23T07:30:00Z"}', name="_alarm")).for_model == "07:30"
    assert (await run('{"at": "half past seven"}', name="_alarm")).fault is Fault.BAD_ARGUMENTS
    failed = await run('{"day": "2026-11-23", "size": 2}')
    assert (failed.fault, failed.for_model) == (Fault.FAILED, "There is no large report: ask for size 1.")


def _undescribed() -> Any:
    async def undescribed(city: str) -> str:
        return city

    return undescribed


def _untyped() -> Any:
    async def untyped(city):
        """A tool."""

    return untyped


def _blocking() -> Any:
    def blocking(city: str) -> str:
        """A tool."""
        return city

    return blocking


def _open_ended() -> Any:
    async def open_ended(*cities: str) -> str:
        """A tool."""
        return ""

    return open_ended


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (_undescribed(), "docstring"),
        (_untyped(), "say of which type city is"),
        (_blocking(), "async def"),
        (_open_ended(), "give each parameter a name"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_told_why(function, advice):
    with pytest.raises(BadTool, match=advice):
        tool()(function)


class NoTraits:
    spec = Calculate.spec

    async def run(self, arguments: Any, context: ToolContext) -> ToolResult:
        return ToolResult(for_model="")


def fails() -> None:
    raise RuntimeError("no such licence")


OFFERED: dict[str, Any] = {
    "a_class": Calculate,
    "an_object": Calculate(),
    "a_list": [Calculate(), _report],
    "a_function": lambda: [Calculate()],
    "broken": fails,
    "nothing": 7,
    "no_traits": NoTraits(),
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a_class", 1), ("an_object", 1), ("a_list", 2), ("a_function", 1)]
    + [(name, 0) for name in ("broken", "nothing", "no_traits", "missing")],
)
def test_an_entry_point_may_offer_tools_in_many_ways_and_a_broken_one_is_left_out(
    name, expected, monkeypatch, caplog
):
    module = sys.modules[__name__]
    if name in OFFERED:
        monkeypatch.setattr(module, "offered_here", OFFERED[name], raising=False)
    point = EntryPoint(name=name, value=f"{__name__}:offered_here", group=custom_tools.GROUP)
    monkeypatch.setattr(custom_tools, "entry_points", lambda group: [point])
    custom_tools.installed.cache_clear()
    tools = custom_tools.installed()
    custom_tools.installed.cache_clear()
    assert len(tools) == expected
    assert all(isinstance(one.traits, Traits) for one in tools)
    assert (f"the tool {name} " in caplog.text) == (expected == 0)
