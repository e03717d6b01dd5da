"""What people thought of answers, for whoever runs the site: to filter, to read, to take away as a table. The
question and the answer are shown only where the person lets them be."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext_lazy as _

from chat import history
from chat.models import Feedback

if TYPE_CHECKING:
    FeedbackAdminBase = admin.ModelAdmin[Feedback]
else:
    FeedbackAdminBase = admin.ModelAdmin

COLUMNS = ("given", "rating", "reasons", "note", "model", "effort", "steps", "user", "turn")


class ReasonFilter(admin.SimpleListFilter):
    title = _("reason")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return Feedback.Reason.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Feedback]) -> QuerySet[Feedback]:
        # No word of `Reason` is part of another.
        reason = self.value()
        return queryset.filter(reasons__contains=reason) if reason else queryset


class NoteFilter(admin.SimpleListFilter):
    title = _("note")
    parameter_name = "has_note"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("1", _("With a note")), ("0", _("Without"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Feedback]) -> QuerySet[Feedback]:
        if self.value() not in ("0", "1"):
            return queryset
        return queryset.exclude(note="") if self.value() == "1" else queryset.filter(note="")


@admin.register(Feedback)
class FeedbackAdmin(FeedbackAdminBase):
    list_display = ("updated_at", "is_good", "said", "note", "model_name", "effort", "user")
    list_filter = ("is_good", ReasonFilter, NoteFilter, "turn__model", "turn__effort", "updated_at")
    list_select_related = ("turn__model", "user")
    search_fields = ("note", "user__username")
    date_hierarchy = "updated_at"
    actions = ("as_csv",)
    fields = (
        "updated_at",
        "is_good",
        "said",
        "note",
        "model_name",
        "effort",
        "steps",
        "user",
        "turn_id",
        "question",
        "answer",
    )
    readonly_fields = fields

    @admin.display(description=_("reasons"))
    def said(self, feedback: Feedback) -> str:
        labels = dict(Feedback.Reason.choices)
        return ", ".join(str(labels.get(reason, reason)) for reason in feedback.reason_list)

    @admin.display(description=_("model"))
    def model_name(self, feedback: Feedback) -> str:
        return feedback.turn.model.label

    @admin.display(description=_("effort"))
    def effort(self, feedback: Feedback) -> str:
        return _effort(feedback)

    @admin.display(description=_("steps"))
    def steps(self, feedback: Feedback) -> int:
        return feedback.turn.next_step - 1

    @admin.display(description=_("turn"))
    def turn_id(self, feedback: Feedback) -> str:
        return str(feedback.turn.pk)

    @admin.display(description=_("question"))
    def question(self, feedback: Feedback) -> str:
        return history.user_text(feedback.turn) if feedback.shows_turn else str(_("not shown"))

    @admin.display(description=_("answer"))
    def answer(self, feedback: Feedback) -> str:
        if not feedback.shows_turn:
            return str(_("not shown"))
        return history.final_text(history.steps_of(feedback.turn, with_runs=False))

    @admin.action(description=_("Download the selected feedback as CSV"))
    def as_csv(self, request: HttpRequest, queryset: QuerySet[Feedback]) -> HttpResponseBase:
        rows = queryset.select_related("turn__model", "user").order_by("updated_at")
        response = StreamingHttpResponse(_lines(rows), content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = 'attachment; filename="feedback.csv"'
        return response

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feedback]:
        """None of temporary chats, of which nothing leaves the chat."""
        return super().get_queryset(request).filter(turn__conversation__ends_at=None)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Feedback | None = None) -> bool:
        return False


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, line: str) -> str:
        return line


def _lines(rows: QuerySet[Feedback]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(COLUMNS)
    for feedback in rows.iterator(chunk_size=500):
        yield writer.writerow([_cell(value) for value in _row(feedback)])


def _row(feedback: Feedback) -> Sequence[object]:
    return (
        feedback.updated_at.isoformat(timespec="seconds"),
        "good" if feedback.is_good else "bad",
        feedback.reasons,
        feedback.note,
        feedback.turn.model.name,
        _effort(feedback),
        feedback.turn.next_step - 1,
        feedback.user.get_username(),
        feedback.turn_id,
    )


def _cell(value: object) -> str:
    """As text: a spreadsheet takes what begins with one of these for a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _effort(feedback: Feedback) -> str:
    return feedback.turn.effort if feedback.turn.long_thinking else "off"
