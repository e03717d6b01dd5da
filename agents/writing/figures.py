"""Data for charts and tables: columns given by the model, or a CSV of the work folder."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from agents.citations import Passage
from agents.verification import quantities
from agents.verification.sources import Source
from agents.workspace import Workspace

MAX_FILE_BYTES = 8 * 2**20
MAX_ROWS = 50_000
MAX_COLUMNS = 60
_GROUPED = re.compile(r"[-+−]?\d{1,3}(?:,\d{3})+(?:\.\d+)?%?")
_PLAIN = re.compile(r"[-+−]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?%?")
_NAME = re.compile(r"[^\w.-]+")

Value = Decimal | str | None

COLUMNS = {
    "type": "object",
    "description": 'Values by column, as {"Year": [1990, 2000], "Depth": [90, 94]}.',
    "additionalProperties": {
        "type": "array",
        "items": {"type": ["number", "string", "null"]},
        "maxItems": 2_000,
    },
    "minProperties": 1,
    "maxProperties": MAX_COLUMNS,
}
FILE = {"type": "string", "maxLength": 300, "description": "A CSV of the work folder, instead of columns."}
CITATIONS = {
    "type": "array",
    "items": {"type": "integer", "minimum": 1},
    "maxItems": 20,
    "description": "The passages that the data come from.",
}
CAPTION = {"type": "string", "minLength": 1, "maxLength": 200}


class BadData(Exception):
    """The data cannot be used; the text says what to mend."""


@dataclass(frozen=True)
class Data:
    """Columns of one length. A column is of numbers where every value that is there is one."""

    columns: Mapping[str, Sequence[Value]]

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.columns.values())))

    def is_number(self, name: str) -> bool:
        values = [value for value in self.columns[name] if value is not None]
        return bool(values) and all(isinstance(value, Decimal) for value in values)

    def are_years(self, name: str) -> bool:
        values = [value for value in self.columns[name] if value is not None]
        return self.is_number(name) and all(
            isinstance(value, Decimal) and value == value.to_integral_value() and 1500 <= value <= 2100
            for value in values
        )

    def column(self, name: str) -> Sequence[Value]:
        """Raises BadData."""
        if name not in self.columns:
            raise BadData(f"There is no column {name!a:.80}: there are {', '.join(self.columns)}.")
        return self.columns[name]


def data_of(arguments: Mapping[str, Any], workspace: Workspace) -> Data:
    """Raises BadData, NoSuchFile, BadPath, WorkspaceFull."""
    if ("columns" in arguments) == ("file" in arguments):
        raise BadData("Give either columns or file.")
    if "file" in arguments:
        return from_csv(workspace.folder.read(arguments["file"], max_bytes=MAX_FILE_BYTES))
    columns = {name: [_value(value) for value in values] for name, values in arguments["columns"].items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise BadData(f"The columns are not of one length: {said}. Put null where a value is missing.")
    if not next(iter(lengths.values())):
        raise BadData("The columns are empty.")
    return Data(columns)


def from_csv(content: bytes) -> Data:
    """With commas, semicolons or tabs between values, names in the first line. Raises BadData."""
    text = content.decode("utf-8-sig", errors="replace")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    except csv.Error as fault:
        raise BadData(f"The file is no CSV: {fault}.") from fault
    if len(rows) < 2:
        raise BadData("The file has no rows below the names of its columns.")
    if len(rows) > MAX_ROWS or len(rows[0]) > MAX_COLUMNS:
        raise BadData(f"The file has more than {MAX_ROWS} rows or {MAX_COLUMNS} columns: make a smaller one.")
    names = [name.strip() or f"column {place}" for place, name in enumerate(rows[0], 1)]
    if len(set(names)) < len(names):
        raise BadData("Two columns of the file have one name.")
    cells = [[*row, *([""] * len(names))][: len(names)] for row in rows[1:]]
    return Data({name: [_value(row[place]) for row in cells] for place, name in enumerate(names)})


def _value(value: Any) -> Value:
    if value is None or isinstance(value, bool):
        return None if value is None else str(value)
    text = str(value).strip()
    if not text:
        return None
    if not (_GROUPED.fullmatch(text) or _PLAIN.fullmatch(text)):
        return text
    try:
        return Decimal(text.replace(",", "").replace("−", "-").rstrip("%"))
    except InvalidOperation:
        return text


def file_name(wanted: str, title: str, *, folder: str, ending: str) -> str:
    """The path to save it at: the same for the same call."""
    plain = _NAME.sub("-", (wanted or title).removesuffix(f".{ending}").rpartition("/")[2]).strip("-.")
    return f"{folder}/{plain[:60].lower() or 'figure'}.{ending}"


def insertion(caption: str, path: str, citations: Sequence[int]) -> str:
    """What puts it into a document."""
    words = " ".join(caption.replace("[", "(").replace("]", ")").split())
    source = f" Source: {', '.join(f'[{number}]' for number in citations)}." if citations else ""
    return f"![{words}]({path}){source}"


def unfounded(data: Data, columns: Iterable[str], passages: Sequence[Passage]) -> list[str]:
    """Numbers of these columns that none of the passages says."""
    sources = [Source(f"{passage.title}\n{passage.text}", passage=passage.number) for passage in passages]
    found = []
    for name in columns:
        for value in data.columns[name]:
            quantity = next(iter(quantities.find(str(value)).quantities), None) if value is not None else None
            if quantity is not None and not any(source.says_number(quantity) for source in sources):
                found.append(f"{value} ({name})")
    return found
