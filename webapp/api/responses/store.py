"""Responses and conversations in the database: finding, keeping, reading page by page. Sync, as the ORM is;
handlers call these functions through webapp.api.database. Another's row is not there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet

from webapp.accounts.models import ApiKey, User
from webapp.api import callers
from webapp.api.errors import ApiError, bad_request
from webapp.api.models import Item, Response, StoredConversation
from webapp.api.responses.items import Stored
from webapp.api.responses.reply import shape
from webapp.catalog.models import ServedModel

MAX_CHAIN = 2_000  # responses that go on from one another
MAX_CONVERSATION_ITEMS = 20_000


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a response goes on from."""

    previous: Response | None = None
    conversation: StoredConversation | None = None
    items: tuple[Stored, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    items: list[Stored]
    has_more: bool


# ---- finding


def find(key: ApiKey, id: str, *, param: str = "response_id") -> Response:
    """Raises ApiError 404."""
    rows = Response.objects.filter(callers.kept_for(key), id=id[:64])
    found = rows.select_related("model").first()
    if found is None:
        raise ApiError(404, f"There is no response {id[:80]!r} here (any more).", param=param)
    return found


def find_conversation(key: ApiKey, id: str, *, param: str = "conversation_id") -> StoredConversation:
    """Raises ApiError 404."""
    found = StoredConversation.objects.filter(callers.kept_for(key), id=id[:64]).first()
    if found is None:
        raise ApiError(404, f"There is no conversation {id[:80]!r} here (any more).", param=param)
    return found


def context(key: ApiKey, *, previous_id: str | None, conversation_id: str | None) -> Context:
    """Raises ApiError 404, and 400 for a response that has not ended."""
    if previous_id is not None:
        previous = find(key, previous_id, param="previous_response_id")
        if previous.status in Response.OPEN:
            raise bad_request(
                f"The response {previous.id} is still being written: wait for it, or cancel it.",
                param="previous_response_id",
            )
        return Context(previous=previous, items=tuple(_chain(previous)))
    if conversation_id is not None:
        conversation = find_conversation(key, conversation_id, param="conversation")
        return Context(conversation=conversation, items=tuple(_contents(conversation.items.all())))
    return Context()


def resolved(key: ApiKey, items: Sequence[Stored]) -> list[Stored]:
    """With the items themselves where they are referred to. Raises ApiError 404."""
    wanted = {item["id"] for item in items if item["type"] == "item_reference"}
    if not wanted:
        return list(items)
    mine = Q(response__in=Response.objects.filter(callers.kept_for(key))) | Q(
        conversation__in=StoredConversation.objects.filter(callers.kept_for(key))
    )
    own = Item.objects.filter(mine, item_id__in=wanted)
    known = {item.item_id: item.content for item in own}
    if missing := wanted - known.keys():
        raise ApiError(404, f"There is no item {min(missing)[:80]!r} here.", param="input")
    return [known[item["id"]] if item["type"] == "item_reference" else item for item in items]


def _chain(response: Response) -> list[Stored]:
    """The items of the response and of all that it goes on from, oldest first."""
    ids: list[str] = []
    at: Response | None = response
    while at is not None and len(ids) < MAX_CHAIN:
        ids.append(at.id)
        at = Response.objects.only("id", "previous_id").filter(id=at.previous_id).first()
    by_response: dict[str, list[Stored]] = {id: [] for id in reversed(ids)}
    # Input comes before output, as its word comes before the other's.
    for item in Item.objects.filter(response__in=ids).order_by("side", "position"):
        assert item.response_id is not None
        by_response[item.response_id].append(item.content)
    return [item for items in by_response.values() for item in items]


def _contents(items: QuerySet[Item]) -> list[Stored]:
    return list(items.order_by("side", "position").values_list("content", flat=True))


# ---- keeping


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What of a request is kept with its answer."""

    user: User
    api_key: ApiKey | None
    model: ServedModel
    context: Context
    input: Sequence[Stored]
    told: dict[str, Any]


def keep(asked: Asked, whole: dict[str, Any], last_number: int) -> None:
    """Keep an answer that is whole."""
    with transaction.atomic():
        response = Response(
            id=whole["id"],
            **_owner(asked),
            status=whole["status"],
            incomplete_reason=(whole["incomplete_details"] or {}).get("reason", ""),
            usage=whole["usage"],
            last_number=last_number,
            created_at=datetime.fromtimestamp(whole["created_at"], UTC),
            finished_at=datetime.now(UTC),
        )
        response.save(force_insert=True)
        add_items(response, asked.input, side=Item.Side.INPUT)
        add_items(response, whole["output"], side=Item.Side.OUTPUT)
        go_on(response, [*asked.input, *whole["output"]])


def open_response(asked: Asked, id: str, **columns: Any) -> Response:
    """Keep one that is yet to be answered. Call it inside a transaction."""
    is_background = asked.told["background"]
    columns |= {"is_background": is_background, "created_at": datetime.now(UTC)}
    response = Response(id=id, **_owner(asked), **columns)
    response.save(force_insert=True)
    add_items(response, asked.input, side=Item.Side.INPUT)
    return response


def _owner(asked: Asked) -> dict[str, Any]:
    return {
        "user": asked.user,
        "api_key": asked.api_key,
        "model": asked.model,
        "previous": asked.context.previous,
        "conversation": asked.context.conversation,
        "asked": asked.told,
    }


def add_items(response: Response, items: Sequence[Stored], *, side: Item.Side) -> None:
    Item.objects.bulk_create(
        Item(response=response, side=side, position=position, item_id=item["id"], content=item)
        for position, item in enumerate(_storable(items))
    )


def go_on(response: Response, items: Sequence[Stored]) -> None:
    """Add what was said to the response's conversation, if it has one that is still there."""
    if response.conversation_id is not None:
        append(response.conversation_id, items)


def append(conversation_id: str, items: Sequence[Stored]) -> None:
    """Raises ApiError 400 past the most that a conversation holds. Call it inside a transaction."""
    row = StoredConversation.objects.select_for_update().filter(id=conversation_id)
    if not (conversation := row.first()):
        return
    first = conversation.num_items
    if first + len(items) > MAX_CONVERSATION_ITEMS:
        raise bad_request(
            f"A conversation holds at most {MAX_CONVERSATION_ITEMS} items: begin another.", param="items"
        )
    row.update(num_items=F("num_items") + len(items))
    Item.objects.bulk_create(
        Item(conversation=conversation, position=first + index, item_id=item["id"], content=item)
        for index, item in enumerate(_storable(items))
    )


def _storable(said: Any) -> Any:
    """Without the NULs of a model: PostgreSQL stores none."""
    if isinstance(said, str):
        return said.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(said, dict):
        return {name: _storable(value) for name, value in said.items()}
    return [_storable(value) for value in said] if isinstance(said, list | tuple) else said


def delete(response: Response) -> None:
    """What went on from it keeps its own items."""
    response.delete()


# ---- reading


def told(response: Response, *, with_output: bool = True) -> dict[str, Any]:
    """The object, as it stands."""
    output = (
        Item.objects.filter(response=response, side=Item.Side.OUTPUT) if with_output else Item.objects.none()
    )
    error = {"code": response.error_code, "message": response.error} if response.error_code else None
    return shape(
        id=response.id,
        asked=response.asked,
        created_at=response.created_at.timestamp(),
        status=response.status,
        output=_contents(output),
        usage=response.usage,
        error=error,
        incomplete_reason=response.incomplete_reason,
        finished_at=response.finished_at.timestamp() if response.finished_at else None,
    )


def page(items: QuerySet[Item], *, after: str | None, limit: int, is_ascending: bool) -> Page:
    """Raises ApiError 400 for a cursor that is none."""
    order = ("side", "position") if is_ascending else ("-side", "-position")
    rows = items.order_by(*order)
    if after is not None:
        at = items.filter(item_id=after).first()
        if at is None:
            raise bad_request(f"There is no item {after[:80]!r} to go on after.", param="after")
        beyond = "gt" if is_ascending else "lt"
        same_side = Q(side=at.side, **{f"position__{beyond}": at.position})
        rows = rows.filter(same_side | Q(**{f"side__{beyond}": at.side}))
    found = list(rows.values_list("content", flat=True)[: limit + 1])
    return Page(items=found[:limit], has_more=len(found) > limit)
