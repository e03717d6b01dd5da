"""A table as a page shows it and as CSV: the same rows, the same order."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.http import HttpResponse

RISKY = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, kw_only=True)
class Table:
    """`name` is what the address calls it."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def to_csv(self) -> HttpResponse:
        return response(self.name, self.columns, self.rows)


def response(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> HttpResponse:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    answer = HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula is written as text: names are strangers'."""
    is_formula = isinstance(value, str) and value.startswith(RISKY)
    return f"'{value}" if is_formula else value
