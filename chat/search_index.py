"""Keeps what is searched: an entry for each title, question and answer on show, and for what an answer cites,
written in the transaction that writes the text itself. Nothing of agents, and no answer before its turn is
over: until then a step may be taken back."""

from collections.abc import Iterable

from django.utils import timezone

from agents.passages import host_of
from chat.models import Conversation, Passage, SearchEntry, Turn

Kind = SearchEntry.Kind


def keep_title(conversation: Conversation) -> None:
    now = timezone.now()
    changes = {"text": conversation.title, "user_id": conversation.user_id}
    SearchEntry.objects.update_or_create(
        conversation=conversation, kind=Kind.TITLE, defaults=changes, create_defaults={**changes, "at": now}
    )


def keep_question(turn: Turn, text: str) -> None:
    _keep(turn, Kind.QUESTION, text)


def keep_answer(turn: Turn, text: str) -> None:
    _keep(turn, Kind.ANSWER, text)


def keep_sources(turn: Turn, cited: Iterable[Passage]) -> None:
    """A line for each: number, title, host or name of the file."""
    _keep(turn, Kind.SOURCE, "\n".join(_source(one.number, one.title, one.source) for one in cited))


def _source(number: int, title: str, source: str) -> str:
    host = host_of(source) or source
    return f"{number}\t{' '.join(title.split())}\t{' '.join(host.split())}"


def _keep(turn: Turn, kind: SearchEntry.Kind, text: str) -> None:
    """Once per turn and kind; a turn that ends twice ends with the same words."""
    if turn.spawned_by_id is not None or turn.conversation.is_temporary or not text:
        return
    entry = SearchEntry(
        turn=turn,
        conversation_id=turn.conversation_id,
        user_id=turn.conversation.user_id,
        kind=kind,
        text=text,
        at=timezone.now(),
    )
    SearchEntry.objects.bulk_create([entry], ignore_conflicts=True)
