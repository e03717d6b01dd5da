"""Tables from data, as Markdown: aligned, sorted, summed."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

from agents.citations import PassageSource
from agents.tool import Effect, Fault, ToolContext, ToolResult, Traits, Trust
from agents.tools import sandbox_report
from agents.tools.chart import remark
from agents.tools.sandbox_report import RESOURCES
from agents.workspace import BadPath, NoSuchFile, TurnFiles, WorkspaceFull
from agents.writing import figures
from agents.writing.figures import BadData, Data, Value
from inference.schema import ToolSpec

MAX_ROWS = 500
MAX_SHOWN = 40  # rows that the model is shown of a file
MAX_DECIMALS = 12
_DIGITS = 60

DESCRIPTION = """\
Make a table of data that you have, saved as a file for documents. It can sort, keep the first rows, choose
and order columns, and add a last row with sums or means (exact). Example: {"title": "Largest lakes", "file":
"lakes.csv", "columns_shown": ["Lake", "Area"], "sort_by": "Area", "descending": true, "limit": 10,
"totals": {"Area": "sum"}}"""


class MakeTable:
    spec = ToolSpec(
        name="table",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "title": figures.CAPTION,
                "columns": figures.COLUMNS,
                "file": figures.FILE,
                "columns_shown": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "sort_by": {"type": "string"},
                "descending": {"type": "boolean"},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_ROWS},
                "totals": {"type": "object", "additionalProperties": {"enum": ["sum", "mean"]}},
                "decimals": {"type": "integer", "minimum": 0, "maximum": MAX_DECIMALS},
                "citations": figures.CITATIONS,
                "save_as": {"type": "string", "maxLength": 100},
            },
            "required": ["title"],
            "additionalProperties": False,
        },
    )
    traits = Traits(effect=Effect.LOCAL, trust=Trust.USER)

    def __init__(self, files: TurnFiles, passages: PassageSource) -> None:
        self._files = files
        self._passages = passages

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        workspace = await self._files.workspace()
        title, citations = arguments["title"], arguments.get("citations", [])
        path = figures.file_name(arguments.get("save_as", ""), title, folder="tables", ending="md")
        try:
            data = await asyncio.to_thread(figures.data_of, arguments, workspace)
            known = {one.number: one for one in await self._passages.passages()}
            if unknown := [number for number in citations if number not in known]:
                raise BadData(f"{unknown} are no passages of this turn: cite what you have read.")
            shown = chosen(data, arguments)
            totals = totalled(data, shown, arguments.get("totals", {}))
            text = markdown(shown, totals, decimals=arguments.get("decimals"))
            await asyncio.to_thread(workspace.put, path, text.encode())
            await asyncio.to_thread(workspace.take, context.step)
        except (BadData, NoSuchFile, BadPath) as fault:
            return ToolResult(for_model=f"Not made: {fault}", is_error=True, fault=Fault.BAD_ARGUMENTS)
        except WorkspaceFull as fault:
            return ToolResult(for_model=f"Not made: {fault}", is_error=True, fault=Fault.FAILED)
        names = [name for name in shown.columns if shown.is_number(name) and not shown.are_years(name)]
        passages = [known[number] for number in citations]
        loose = figures.unfounded(shown, names, passages) if passages and "columns" in arguments else []
        said = [f"Saved: {path}, {shown.num_rows} of {data.num_rows} rows."]
        said += [_totals_line(totals, arguments.get("totals", {}))] if totals else []
        said.append(f"In a document: {figures.insertion(title, path, citations)}{remark(loose)}")
        # What the model has written itself need not be read to it, and is no source of what it says.
        said += ["", _first_rows(text)] if "file" in arguments else []
        return ToolResult(
            for_model="\n".join(said),
            for_user=f"{title}\n\n{text}",
            artifacts=(sandbox_report.artifact(path, text.encode()),),
        )


def chosen(data: Data, arguments: Mapping[str, Any]) -> Data:
    """The rows and columns that are shown, in their order. Raises BadData."""
    names = arguments.get("columns_shown") or list(data.columns)
    columns = {name: list(data.column(name)) for name in names}
    order = list(range(data.num_rows))
    if (by := arguments.get("sort_by")) is not None:
        keys = data.column(by)
        # What is missing stands at the end whichever way it is sorted.
        there = [row for row in order if keys[row] is not None]
        there.sort(key=lambda row: _rank(keys[row]), reverse=bool(arguments.get("descending")))
        order = [*there, *(row for row in order if keys[row] is None)]
    if "limit" not in arguments and len(order) > MAX_ROWS:
        raise BadData(f"There are {len(order)} rows: give a limit of at most {MAX_ROWS}.")
    order = order[: arguments.get("limit", MAX_ROWS)]
    return Data({name: [values[row] for row in order] for name, values in columns.items()})


def _rank(value: Value) -> tuple[bool, Decimal, str]:
    is_word = isinstance(value, str)
    return (is_word, Decimal(0) if isinstance(value, str) or value is None else value, str(value).casefold())


def totalled(data: Data, shown: Data, totals: Mapping[str, str]) -> dict[str, Decimal]:
    """Of the rows that are shown. Raises BadData."""
    found = {}
    for name, how in totals.items():
        data.column(name)
        if name not in shown.columns or not shown.is_number(name):
            raise BadData(f"The column {name!a:.80} cannot be summed: it is not shown, or holds words.")
        values = [value for value in shown.columns[name] if isinstance(value, Decimal)]
        with localcontext() as context:
            context.prec = _DIGITS
            total = sum(values, Decimal(0))
            found[name] = total if how == "sum" else total / len(values)
    return found


def markdown(data: Data, totals: Mapping[str, Decimal], *, decimals: int | None = None) -> str:
    """The table: numbers to the right, with thousands grouped, but years."""
    columns = {name: _written(data, name, totals.get(name), decimals) for name in data.columns}
    names = list(columns)
    lines = [_row([_cell(name) for name in names])]
    lines.append(_row(["---:" if data.is_number(name) else "---" for name in names]))
    lines += [_row([columns[name][row] for name in names]) for row in range(data.num_rows)]
    if totals:
        last = [f"**{columns[name][-1]}**" if name in totals else "" for name in names]
        if not last[0]:
            last[0] = "**Total**" if data.num_rows else ""
        lines.append(_row(last))
    return "\n".join(lines) + "\n"


def _written(data: Data, name: str, total: Decimal | None, decimals: int | None) -> list[str]:
    values = list(data.columns[name])
    if not data.is_number(name):
        return [_cell("" if value is None else str(value)) for value in values]
    numbers = [value for value in values if isinstance(value, Decimal)]
    if decimals is None:
        decimals = min(max(-int(number.normalize().as_tuple().exponent) for number in numbers), MAX_DECIMALS)
    group = "" if data.are_years(name) else ","
    places = max(decimals, 0)
    written = ["" if value is None else f"{value:{group}.{places}f}" for value in values]
    if total is not None:
        more = places if total == round(total, places) else max(places, 2)
        written.append(f"{total:,.{more}f}")
    return written


def _cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _totals_line(totals: Mapping[str, Decimal], how: Mapping[str, str]) -> str:
    said = [f"{how[name]} of {name} = {_exact(total)}" for name, total in totals.items()]
    return f"Totals: {', '.join(said)}."


def _exact(total: Decimal) -> str:
    return f"{total.normalize():,f}" if total == round(total, MAX_DECIMALS) else f"{total:,.{MAX_DECIMALS}f}"


def _first_rows(text: str) -> str:
    lines = text.splitlines()
    more = len(lines) - 2 - MAX_SHOWN
    return "\n".join(lines[: MAX_SHOWN + 2]) + (f"\n[{more} rows more]" if more > 0 else "")
