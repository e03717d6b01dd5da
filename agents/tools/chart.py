"""Charts from data, as pictures for the chat and for documents."""

import asyncio
from collections.abc import Mapping
from typing import Any

from agents.citations import PassageSource
from agents.tool import Effect, Fault, ToolContext, ToolResult, Traits, Trust
from agents.tools import sandbox_report
from agents.tools.sandbox_report import RESOURCES
from agents.workspace import BadPath, NoSuchFile, TurnFiles, WorkspaceFull
from agents.writing import figures
from agents.writing.figures import BadData, Data, Value
from agents.writing.plots import Plot, Series
from agents.writing.press import Press, PressFailed
from inference.schema import ToolSpec

MAX_SERIES = 12
MAX_POINTS = 20_000
MAX_BARS = 200
MAX_SLICES = 12
MAX_UNFOUNDED = 8

DESCRIPTION = """\
Draw a chart of data that you have, as a picture file shown to the user. x is a column's name, the first by
default; y names columns of numbers, all others by default; a histogram counts the values of y. Example:
{"kind": "line", "title": "Depth of Lake Orsa", "columns": {"Year": [1990, 2000], "Depth (m)": [90, 94]},
"citations": [7]}"""


class DrawChart:
    spec = ToolSpec(
        name="chart",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "kind": {"enum": ["line", "bar", "scatter", "pie", "histogram"]},
                "title": figures.CAPTION,
                "columns": figures.COLUMNS,
                "file": figures.FILE,
                "x": {"type": "string", "maxLength": 200},
                "y": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_SERIES},
                "x_label": {"type": "string", "maxLength": 100},
                "y_label": {"type": "string", "maxLength": 100},
                "stacked": {"type": "boolean"},
                "log": {"type": "boolean"},
                "citations": figures.CITATIONS,
                "save_as": {"type": "string", "maxLength": 100},
            },
            "required": ["kind", "title"],
            "additionalProperties": False,
        },
    )
    traits = Traits(effect=Effect.LOCAL, trust=Trust.USER, timeout_s=120.0)

    def __init__(self, files: TurnFiles, press: Press, passages: PassageSource) -> None:
        self._files = files
        self._press = press
        self._passages = passages

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        workspace = await self._files.workspace()
        path = figures.file_name(
            arguments.get("save_as", ""), arguments["title"], folder="figures", ending="png"
        )
        citations = arguments.get("citations", [])
        try:
            data = await asyncio.to_thread(figures.data_of, arguments, workspace)
            plot = plotted(data, arguments)
            known = {one.number: one for one in await self._passages.passages()}
            if unknown := [number for number in citations if number not in known]:
                raise BadData(f"{unknown} are no passages of this turn: cite what you have read.")
            picture = await self._press.chart(plot)
            await asyncio.to_thread(workspace.put, path, picture)
            await asyncio.to_thread(workspace.take, context.step)
        except (BadData, NoSuchFile, BadPath) as fault:
            return ToolResult(for_model=f"Not drawn: {fault}", is_error=True, fault=Fault.BAD_ARGUMENTS)
        except (PressFailed, WorkspaceFull) as fault:
            return ToolResult(for_model=f"Not drawn: {fault}", is_error=True, fault=Fault.FAILED)
        names = [one.name for one in plot.series if one.name in data.columns]
        passages = [known[number] for number in citations]
        loose = figures.unfounded(data, names, passages) if passages and "columns" in arguments else []
        text = (
            f"Drawn: {path} ({plot.kind}, {len(plot.series)} series of {len(plot.series[0].values)} values). "
            f"In a document: {figures.insertion(arguments['title'], path, citations)}{remark(loose)}"
        )
        return ToolResult(for_model=text, artifacts=(sandbox_report.artifact(path, picture),))


def remark(loose: list[str]) -> str:
    """On numbers that the cited passages do not say."""
    if not loose:
        return ""
    more = f" and {len(loose) - MAX_UNFOUNDED} more" if len(loose) > MAX_UNFOUNDED else ""
    return f"\nNot found in the cited passages as such: {', '.join(loose[:MAX_UNFOUNDED])}{more}."


def plotted(data: Data, arguments: Mapping[str, Any]) -> Plot:
    """Raises BadData."""
    kind = arguments["kind"]
    is_counting = kind == "histogram"
    x = "" if is_counting and "x" not in arguments else arguments.get("x") or next(iter(data.columns))
    if x:
        data.column(x)
    y = arguments.get("y") or [name for name in data.columns if name != x and data.is_number(name)]
    if is_counting and not y and x:
        x, y = "", [x]
    for name in y:
        data.column(name)
        if not data.is_number(name):
            raise BadData(f"The column {name!a:.80} holds words: y needs numbers.")
    if not y:
        raise BadData("There is no column of numbers to draw besides x.")
    _check_size(kind, len(y), data.num_rows)
    series = tuple(Series(name=name, values=_numbers(data.column(name))) for name in y)
    _check_sense(kind, series, is_log=bool(arguments.get("log")))
    is_scale = bool(x) and kind in ("line", "scatter") and data.is_number(x)
    return Plot(
        kind=kind,
        title=arguments["title"],
        series=series,
        places=_numbers(data.column(x)) if is_scale else (),
        labels=() if is_scale or not x else tuple(_word(value) for value in data.column(x)),
        x_label=arguments.get("x_label") or (y[0] if is_counting and len(y) == 1 else x),
        y_label=arguments.get("y_label") or (y[0] if len(y) == 1 and not is_counting else ""),
        is_stacked=bool(arguments.get("stacked")),
        is_log=bool(arguments.get("log")) and kind != "pie",
    )


def _check_size(kind: str, num_series: int, num_rows: int) -> None:
    most = {"bar": MAX_BARS, "pie": MAX_SLICES}.get(kind, MAX_POINTS)
    if num_series > MAX_SERIES:
        raise BadData(f"At most {MAX_SERIES} series fit into one chart: name fewer in y.")
    if num_rows > most:
        raise BadData(f"A {kind} chart takes at most {most} rows, not {num_rows}: sum up or choose some.")
    if kind == "pie" and num_series != 1:
        raise BadData("A pie shows one column: name it in y.")


def _check_sense(kind: str, series: tuple[Series, ...], *, is_log: bool) -> None:
    known = [value for one in series for value in one.values if value is not None]
    if kind == "pie" and (min(known) < 0 or sum(known) <= 0):
        raise BadData("A pie needs shares above zero.")
    if is_log and kind != "histogram" and min(known) <= 0:
        raise BadData("A logarithmic scale needs values above zero.")


def _numbers(values: Any) -> tuple[float | None, ...]:
    return tuple(None if value is None else float(value) for value in values)


def _word(value: Value) -> str:
    return "" if value is None else str(value)[:80]
