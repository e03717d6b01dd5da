"""The texts of turns as far as a page shows them at once: what is folded is read when it is unfolded, of a
long result its beginning and its end. A chat opens as quickly after 300 steps as after three."""

from __future__ import annotations

from collections.abc import Container, Sequence

from django.db.models import Case, F, Prefetch, Q, QuerySet, TextField, Value, When, prefetch_related_objects
from django.db.models.functions import Concat, Left, Length, Right

from agents.transcript import NoteKind
from chat import folding
from chat.models import Message, Part, Turn

MOST_RESULT_CHARS = 4_096  # that are shown of a call; more is a question of its own
START_CHARS, END_CHARS = 2_000, 600  # of a longer one; the end says what went wrong

_COLUMNS = (
    "message_id",
    "position",
    "kind",
    "tool_call_id",
    "is_error",
    "num_tokens",
    "duration_ms",
)
_RESULT = Case(
    When(
        num_chars__gt=MOST_RESULT_CHARS,
        then=Concat(Left("text", START_CHARS), Value("\n…\n"), Right("text", END_CHARS)),
    ),
    default=F("text"),
    output_field=TextField(),
)
_IS_RESULT = Q(kind=Part.Kind.TOOL_RESULT)


def read(turns: Sequence[Turn], *, unfolded: Container[int] = ()) -> None:
    """Fetch the turns' messages and parts, in a few queries for all of them. `unfolded` are steps that are
    shown though they fold."""
    prefetch_related_objects(
        turns, Prefetch("messages", queryset=Message.objects.order_by("step", "position"))
    )
    shown: list[Message] = []
    folded: list[Message] = []
    for turn in turns:
        steps = _folding(turn)
        for message in turn.messages.all():
            is_folded = message.step in steps and message.step not in unfolded
            (folded if is_folded and message.role != Message.Role.NOTE else shown).append(message)
    _read_parts(shown, _shown())
    _read_parts(folded, _outlined())


def _folding(turn: Turn) -> frozenset[int]:
    """The steps that certainly fold. Drafts and what was undone fold too, but are part of the page."""
    taken_back: set[int] = set()
    for note in turn.messages.all():
        if note.kind == NoteKind.CHECK and note.data.get("must_revise"):
            taken_back.add(note.step)
        elif note.kind == NoteKind.ROLLBACK:
            taken_back.update(range(note.data["to_step"] + 1, note.step + 1))
    numbers = sorted({message.step for message in turn.messages.all() if message.step})
    is_live = turn.status != Turn.Status.FINISHED
    return frozenset(numbers[: folding.num_folding(len(numbers), is_live=is_live)]) - taken_back


def _read_parts(messages: list[Message], parts: QuerySet[Part]) -> None:
    if not messages:
        return
    prefetch_related_objects(messages, Prefetch("parts", queryset=parts))
    for message in messages:
        for part in message.parts.all():
            shown = part.__dict__  # annotations
            part.text, part.html, part.tool_name = shown["shown"], shown["drawn"], shown["calls"]


def _shown() -> QuerySet[Part]:
    text = Case(When(_IS_RESULT, then=_RESULT), default=F("text"), output_field=TextField())
    return _parts(text, drawn=F("html"))


def _outlined() -> QuerySet[Part]:
    """What the line of a phase says, and what the answer is made of."""
    says = Q(kind=Part.Kind.TEXT) | Q(kind=Part.Kind.TOOL_CALL, tool_name="plan")
    text = Case(
        When(says, then=F("text")),
        When(_IS_RESULT & Q(is_error=True), then=_RESULT),
        default=Value(""),
        output_field=TextField(),
    )
    return _parts(text, drawn=Value("", output_field=TextField()))


def _parts(text: Case, *, drawn: F | Value) -> QuerySet[Part]:
    """The annotations take the place of the columns that are left out."""
    calls = Case(When(kind=Part.Kind.TOOL_CALL, then=F("tool_name")), default=Value(""))
    counted = Part.objects.only(*_COLUMNS).annotate(num_chars=Length("text"))
    return counted.annotate(shown=text, drawn=drawn, calls=calls)
