"""Answers that may use the platform's own tools: turns of the chat, told as responses. The turn's log is the
truth; what is told of it here is made from it anew for each reader, the same each time.
"""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Literal

import msgspec
from django.db import transaction
from django.db.models import Q

from agents.limits import Limit
from chat import dispatch, events, frames, history
from chat.frames import Limits, PlainEvent, ToolTerms, TurnSend
from chat.models import Turn
from chat.refusals import Refusal
from inference.schema import FinishReason, Usage
from webapp.api import admission, database, turn_events, turn_faults
from webapp.api.errors import bad_request, unknown_model
from webapp.api.models import Response
from webapp.api.responses import background, items, log, store
from webapp.api.responses.background import Outcome
from webapp.api.responses.items import Stored
from webapp.api.responses.reply import telling_of
from webapp.api.responses.request import Question
from webapp.api.responses.telling import COMPLETED, INCOMPLETE, Event, Telling
from webapp.api.responses.tools import PLATFORM
from webapp.billing.models import UsageRecord
from webapp.catalog.models import ServedModel

NUMBERS_OF_AN_EVENT = 16  # that one event of a turn may bring: a turn's numbers and ours grow together
EFFORTS: dict[str, Literal["auto", "low", "high"]] = {
    "minimal": "low",
    "low": "low",
    "medium": "auto",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
SEARCHING = ("web_search", "open_page", "find_in_page", "ask_page", "facts_query")
COMPUTING = ("run_python",)
# What helps a turn think reaches nothing outside it, and is there whatever was asked for.
ALWAYS = frozenset({"calculate", "plan", "remember", "recall", "rollback", "verify_claim"})
DELETED = Outcome(
    status=Response.Status.FAILED,
    finish_reason="cancelled",
    error={"code": "server_error", "message": "The chat that this was answered in was deleted."},
)


# ---- asking


def start(question: Question, *, id: str, address: str) -> Response:
    """A queued turn and the response that tells of it. Raises ApiError, having changed nothing."""
    admission.check(question.key, scope="runs", model=question.model, address=address)
    model = ServedModel.objects.offered().filter(name=question.model).first()
    if model is None:
        raise unknown_model(question.model)
    if question.body.text and question.body.text.format and question.told["text"]["format"]["type"] != "text":
        raise bad_request("An answer that uses tools of the platform is free text.", param="text.format")
    command = _command(question, model, id=id)
    try:
        with transaction.atomic():
            turn = dispatch.submit_turn(question.key.user, command, api_key=question.key)
            return store.open_response(question.asked(model), id, turn=turn)
    except Refusal as refusal:
        raise turn_faults.of(refusal) from refusal


def _command(question: Question, model: ServedModel, *, id: str) -> TurnSend:
    previous = question.context.previous
    before = previous.turn if previous else None
    return TurnSend(
        client_id=str(log.key_of(id)),
        text=_text(question, goes_on=before is not None),
        model=model.name,
        conversation=str(before.conversation_id) if before else None,
        parent=str(before.id) if before else None,
        is_branch=before is not None,
        long_thinking=True,
        effort=EFFORTS.get(question.told["reasoning"]["effort"] or "", "auto"),
        limits=Limits(max_steps=question.body.max_tool_calls + 1 if question.body.max_tool_calls else None),
        tools=ToolTerms(only=_only(question.tools.hosted)),
    )


def _text(question: Question, *, goes_on: bool) -> str:
    """What was said, as one question. A turn that goes on knows what was said before it."""
    said = question.own_input if goes_on else question.whole_input
    messages = [
        (item["role"], items.text_of(items.struct_of(item, items.Message).content, place="input"))
        for item in said
        if item["type"] == "message"
    ]
    if not messages:
        raise bad_request("There is nothing to answer: send a message in `input`.", param="input")
    instructions = [("system", question.body.instructions)] if question.body.instructions else []
    if len(messages) == 1 and not instructions:
        return messages[0][1]
    return "\n\n".join(f"[{role}]\n{text}" for role, text in [*instructions, *messages])


def _only(hosted: Sequence[str]) -> list[str] | None:
    """The tools that may be called; None: all."""
    if "mcp" in hosted:
        return None
    asked = set(ALWAYS)
    if any(kind.startswith("web_search") for kind in hosted):
        asked.update(SEARCHING)
    if "code_interpreter" in hosted:
        asked.update(COMPUTING)
    return sorted(asked)


# ---- telling


class Translation:
    """A turn's events as a response's."""

    def __init__(self, telling: Telling) -> None:
        self.telling = telling
        self._steps: list[int] = []  # of each item of the output

    def add(self, event: PlainEvent) -> list[Event]:
        step = getattr(event, "step", 0)
        told = self._told(event)
        self._steps += [step] * (len(self.telling.output) - len(self._steps))
        return told

    def _told(self, event: PlainEvent) -> list[Event]:
        telling = self.telling
        if isinstance(event, frames.StepStarted):
            # Whoever was at this step died: what was shown of it is void.
            return telling.drop([place for place, step in enumerate(self._steps) if step >= event.step])
        if isinstance(event, frames.ReasoningPiece):
            return telling.reasoning(event.text)
        if isinstance(event, frames.ContentPiece):
            return telling.text(event.text)
        if isinstance(event, frames.ToolCallStarted):
            return self._call(event)
        if isinstance(event, frames.ToolCallFinished):
            return telling.hosted_result(
                _key(event.step, event.id), result=event.result, is_error=event.is_error
            )
        return []

    def _call(self, event: frames.ToolCallStarted) -> list[Event]:
        key = _key(event.step, event.id)
        if self.telling.is_open(key):
            return []  # a worker that died had said so
        return self.telling.hosted_call(key, name=event.name, arguments=event.arguments, server=PLATFORM)


async def follow(response: Response, *, after: int = -1) -> AsyncGenerator[Event, None]:
    """The events after number `after`, in order, up to the last."""
    assert response.turn_id is not None
    for event in await database.run(log.head, response):
        if event["sequence_number"] > after:
            yield event
    translation = Translation(telling_of(response))
    shown = await database.run(store.told, response, with_output=False)
    with contextlib.suppress(Turn.DoesNotExist):
        async with contextlib.aclosing(turn_events.follow(response.turn_id)) as entries:
            async for entry in entries:
                for told in _told(translation, entry, shown=shown):
                    if told["sequence_number"] > after:
                        yield told
    for told in await database.run(_ends, response.id, translation):
        if told["sequence_number"] > after:
            yield told


def _told(translation: Translation, entry: bytes, *, shown: Stored) -> list[Event]:
    event, seq = events.decode(entry), msgspec.json.decode(entry, type=events.Entry).seq
    telling = translation.telling
    telling.next_number = max(telling.next_number, seq * NUMBERS_OF_AN_EVENT)
    if isinstance(event, frames.TurnSnapshot):
        # It shows all again.
        told = telling.drop(range(len(telling.output)))
        return [*told, *(again for inner in event.events for again in translation.add(inner))]
    if isinstance(event, frames.TurnStarted):
        return telling.started(shown | {"status": "in_progress"})
    return translation.add(event)


def _ends(response_id: str, translation: Translation) -> list[Event]:
    """The last events; none are left to tell of a response that was deleted."""
    response = Response.objects.select_related("turn").filter(id=response_id).first()
    if response is None:
        return []
    conclude(response)
    telling = translation.telling
    closed = telling.close(COMPLETED if response.status == COMPLETED else INCOMPLETE)
    telling.next_number = max(telling.next_number, response.last_number)
    return [*closed, *telling.end(store.told(response))]


# ---- ending


def conclude(response: Response) -> None:
    """Bring the response of a turn that has ended up to date; again is harmless."""
    turn = _turn_of(response)
    if turn is not None and turn.status != Turn.Status.FINISHED:
        return
    translation = Translation(telling_of(response))
    for event in history.stored_events(turn) if turn else ():
        translation.add(event)
    outcome = _outcome(turn) if turn else DELETED
    translation.telling.close(COMPLETED if outcome.status == COMPLETED else INCOMPLETE)
    last_number = ((turn.last_seq if turn else 0) + 1) * NUMBERS_OF_AN_EVENT - 1
    with transaction.atomic():
        row = Response.objects.filter(id=response.id, status__in=Response.OPEN)
        if row.update(**background.columns(outcome, last_number=last_number)):
            response.refresh_from_db()
            background.conclude(response, translation.telling.items)
    response.refresh_from_db()


def conclude_due() -> None:
    """Those whose turns have ended without anybody who looked."""
    # A turn that is gone was deleted with its chat.
    is_over = Q(turn__status=Turn.Status.FINISHED) | Q(turn=None, request="")
    left = Response.objects.filter(is_over, status__in=Response.OPEN)
    for response in list(left[:100]):
        conclude(response)


def progress(response: Response) -> Response:
    """The response as its turn stands."""
    if response.request or response.status not in Response.OPEN:
        return response
    conclude(response)
    turn = _turn_of(response)
    if response.status == Response.Status.QUEUED and turn and turn.status != Turn.Status.QUEUED:
        response.status = Response.Status.IN_PROGRESS
    return response


def _turn_of(response: Response) -> Turn | None:
    """As it stands now; None once its chat is deleted."""
    return Turn.objects.filter(id=response.turn_id).first() if response.turn_id else None


def stop(response: Response) -> None:
    """Have the turn end; again is harmless."""
    dispatch.stop(response.user, str(response.turn_id))


def _outcome(turn: Turn) -> Outcome:
    record = UsageRecord.objects.filter(hold=turn.hold_id).first()
    usage = None
    if record is not None:
        usage = Usage(
            input_uncached_tokens=record.input_uncached_tokens,
            input_cached_tokens=record.input_cached_tokens,
            output_tokens=record.output_tokens,
            reasoning_tokens=record.reasoning_tokens,
        )
    status, why, error = _ending(turn)
    return Outcome(
        status=status,
        finish_reason=turn.finish_reason,
        usage=usage or Usage(),
        incomplete_reason=why,
        error={"code": "server_error", "message": error} if error else None,
    )


def _ending(turn: Turn) -> tuple[str, str, str]:
    """The response's status, why it is not whole, and what went wrong."""
    if turn.finish_reason == FinishReason.CANCELLED:
        return Response.Status.CANCELLED, "", ""
    if turn.limit or turn.finish_reason == FinishReason.LENGTH:
        return INCOMPLETE, f"max_output_tokens:{turn.limit or Limit.OUTPUT_TOKENS}", ""
    if turn.finish_reason == FinishReason.ERROR:
        return Response.Status.FAILED, "", turn.error or "The answer broke off."
    return COMPLETED, "", ""


def _key(step: int, call_id: str) -> str:
    return f"{step} {call_id}"
