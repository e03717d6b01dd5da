"""Tools of real MCP servers, over stdio in the sandbox and over HTTP; and of servers that misbehave."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from agents.mcp.pool import Pool
from agents.mcp.servers import BEHIND_PUBLIC_PORTS, BadServers, Remote, Server
from agents.sandbox import launch
from agents.tool import Effect, Fault, Intent, ToolContext, ToolResult
from agents.tooling.toolset import Toolset
from tests.mcp import raw_http
from tests.mcp.conftest import MakePool, can_sandbox
from tests.services import wait_until

sandboxed = pytest.mark.skipif(not can_sandbox(), reason="no bubblewrap on this machine")


async def called(pool: Pool, name: str, *, key: str = "k", **arguments: Any) -> ToolResult:
    tools = {tool.spec.name: tool for tool in await pool.tools()}
    return await tools[name].run(arguments, ToolContext(key=key))


@sandboxed
async def test_a_tool_of_a_program_in_the_sandbox_is_called_like_any_other(
    pool: MakePool, sdk_over_stdio: dict[str, Any]
) -> None:
    toolset = Toolset(await pool(weather=sdk_over_stdio).tools())
    call = Intent(
        step=1,
        index=0,
        call_id="functions.mcp__weather__forecast:0",
        name="mcp__weather__forecast",
        arguments='{"city": "Oslo", "days": "2"}',
        key="k",
        effect=Effect.EXTERNAL,
    )
    result = await toolset.run(call, ToolContext(key="k"))
    assert isinstance(result, ToolResult)
    assert json.loads(result.for_model) == {"city": "Oslo", "sky": "clear for 2 days"}


async def test_a_tool_of_a_server_over_http_is_called_alike(
    pool: MakePool, sdk_over_http: dict[str, Any]
) -> None:
    weather = pool(weather=sdk_over_http)
    assert [tool.spec.name for tool in await weather.tools()] == [
        "mcp__weather__broken",
        "mcp__weather__forecast",
    ]
    assert "Oslo" in (await called(weather, "mcp__weather__forecast", city="Oslo")).for_model
    broken = await called(weather, "mcp__weather__broken")
    assert (broken.is_error, broken.fault) == (True, Fault.FAILED)


async def test_a_private_server_that_was_not_allowed_is_not_reached(
    pool: MakePool, sdk_over_http: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BadServers, match="private = true"):
        pool(weather={"url": sdk_over_http["url"]})
    past_the_file = Remote(url=sdk_over_http["url"], headers={}, rules=BEHIND_PUBLIC_PORTS)
    unreached = Pool((Server(name="weather", place=past_the_file),))
    assert await unreached.tools() == ()
    assert "UrlRefused" in caplog.text
    unreached.close()


@sandboxed
async def test_one_program_serves_many_calls_and_knows_a_call_that_is_made_again(
    pool: MakePool, raw: dict[str, Any]
) -> None:
    several = pool(raw=raw)
    first, second = await asyncio.gather(
        called(several, "mcp__raw__pid", key="t.1.0"), called(several, "mcp__raw__pid", key="t.1.1")
    )
    assert first.for_model.split()[0] == second.for_model.split()[0]
    assert [result.for_model.split()[1] for result in (first, second)] == ["t.1.0", "t.1.1"]


@sandboxed
@pytest.mark.parametrize(
    ("tool", "fault"),
    [
        ("die", Fault.INTERRUPTED),
        ("hang", Fault.TIMEOUT),
        ("flood", Fault.INTERRUPTED),
        ("long_line", Fault.INTERRUPTED),
    ],
)
async def test_a_server_that_dies_hangs_or_floods_fails_that_call_alone(
    pool: MakePool, raw: dict[str, Any], tool: str, fault: Fault
) -> None:
    misbehaving = pool(raw=raw)
    began = time.monotonic()
    result = await called(misbehaving, f"mcp__raw__{tool}")
    assert (result.is_error, result.fault) == (True, fault)
    assert time.monotonic() - began < 8
    assert (await called(misbehaving, "mcp__raw__echo", text="again")).for_model == "again"


@pytest.mark.parametrize("tool", ["die", "hang", "flood", "big", "packed", "redirect", "garbage", "error"])
async def test_a_server_over_http_that_misbehaves_fails_that_call_alone(pool: MakePool, tool: str) -> None:
    with raw_http.serving() as (url, handler):
        misbehaving = pool(raw={"url": url, "private": True, "timeout_s": 1})
        began = time.monotonic()
        assert (await called(misbehaving, f"mcp__raw__{tool}")).is_error
        assert time.monotonic() - began < 8
        assert (await called(misbehaving, "mcp__raw__echo")).for_model == "here"
        assert handler.num_elsewhere == 0


@sandboxed
async def test_lines_that_are_no_messages_are_passed_over(pool: MakePool, raw: dict[str, Any]) -> None:
    assert (await called(pool(raw=raw), "mcp__raw__garbage")).for_model == "after the garbage"


@sandboxed
async def test_a_program_knows_nothing_of_the_platforms_environment(
    pool: MakePool, raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    result = await called(pool(raw={**raw, "environment": {"MINE": "yes"}}), "mcp__raw__environment")
    assert json.loads(result.for_model).keys() == {"PATH", "HOME", "LANG", "PWD", "MINE"}


async def test_a_server_that_is_not_there_offers_no_tools_and_no_trouble(pool: MakePool) -> None:
    away = pool(
        away={"url": "http://127.0.0.1:9/mcp", "private": True}, gone={"command": ["/no/such/program"]}
    )
    assert await away.tools() == ()


async def test_without_a_sandbox_no_program_is_started(
    pool: MakePool, raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(launch, "SYSTEM_PATH", "/nonexistent")
    assert await pool(raw=raw).tools() == ()
    assert "Install the packages bubblewrap" in caplog.text


@sandboxed
async def test_a_cancelled_call_leaves_the_server_usable(pool: MakePool, raw: dict[str, Any]) -> None:
    hung = Path(raw["writable"][0]) / "hung"
    patient = pool(raw={**raw, "environment": {"HUNG_FILE": str(hung)}})
    hanging = asyncio.create_task(called(patient, "mcp__raw__hang"))
    await asyncio.to_thread(wait_until, hung.exists, within_s=5, what="the call")
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    await called(patient, "mcp__raw__echo", text="x")  # it still hangs: this one finds that out
    assert (await called(patient, "mcp__raw__echo", text="again")).for_model == "again"


@sandboxed
async def test_the_pool_outlives_event_loops_and_takes_its_programs_along(
    pool: MakePool, raw: dict[str, Any], tmp_path: Path
) -> None:
    shared = pool(raw=raw)

    def segment() -> str:
        return asyncio.run(called(shared, "mcp__raw__pid")).for_model.split()[0]

    assert await asyncio.to_thread(segment) == await asyncio.to_thread(segment)
    marker = raw["command"][-1].encode()

    def is_running() -> bool:
        found = [path for path in Path("/proc").glob("[0-9]*/cmdline") if marker in _read(path)]
        return bool(found)

    assert is_running()
    await asyncio.to_thread(shared.close)
    await asyncio.to_thread(wait_until, lambda: not is_running(), within_s=5, what="the program's end")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
