"""Lists over tables of many millions of rows: nobody counts them all or skips through them; what is on a page
is found by an index, and all that a filter finds comes as CSV, batch by batch along the primary key."""

import csv
import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import URLPattern, path

from webapp.billing.admin.read_only import ReadOnlyAdmin

# The type parameter is for the type checker alone.
if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator

MOST_COUNTED = 10_000
AT_ONCE = 2_000
RISKY = ("=", "+", "-", "@", "\t", "\r")


class BoundedPaginator(AnyPaginator):
    """Counts and skips no further than MOST_COUNTED: whoever looks for older rows filters."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST_COUNTED].count())


class LargeTableAdmin(ReadOnlyAdmin):
    """`csv_columns` are columns and relations' columns, `pk` the first."""

    change_list_template = "admin/billing/large_list.html"
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each is a count
    actions = None
    csv_columns: Sequence[str] = ()

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.csv_view)
        return [path("csv/", view, name=f"{self._name}_csv"), *super().get_urls()]

    @property
    def _name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(
            request, {"csv_url": f"admin:{self._name}_csv", **(extra_context or {})}
        )

    def csv_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """Every row that the list finds under the same filters, the newest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        change_list: ChangeList = self.get_changelist_instance(request)
        answer = StreamingHttpResponse(
            _lines(change_list.queryset, self.csv_columns), content_type="text/csv; charset=utf-8"
        )
        answer["Content-Disposition"] = f'attachment; filename="{self.opts.model_name}.csv"'
        return answer


def _lines(rows: QuerySet[Model], columns: Sequence[str]) -> Iterator[str]:
    yield _line(columns)
    found = rows.order_by("-pk")
    last: Any = None
    while batch := list(
        (found if last is None else found.filter(pk__lt=last)).values_list(*columns)[:AT_ONCE]
    ):
        yield "".join(_line([_cell(value) for value in row]) for row in batch)
        last = batch[-1][0]


def _line(cells: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula is written as text: names are strangers'."""
    return f"'{value}" if isinstance(value, str) and value.startswith(RISKY) else value
