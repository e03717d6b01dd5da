"""All that the chat keeps of one person: given to them as a file, and deleted with their account."""

import csv
import io
import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import orjson
from django.forms.models import model_to_dict

from chat import conversations, exports, preferences, snapshots, temporary
from chat.models import (
    Attachment,
    Conversation,
    Draft,
    Feedback,
    Folder,
    Memory,
    Preferences,
    Preset,
    Share,
    Tag,
)
from webapp.accounts.models import User
from webapp.billing.models import UsageRecord
from webapp.webhooks.models import Endpoint

IN_MEMORY_BYTES = 8 * 2**20
USAGE = (
    "created_at",
    "source",
    "model__name",
    "input_uncached_tokens",
    "input_cached_tokens",
    "output_tokens",
)


def export(user: User) -> IO[bytes]:
    """A ZIP file: every chat but temporary ones as JSON that can be imported again, settings, memory,
    presets, drafts, feedback, and what was used. Files of chats are had from the chats themselves."""
    target = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  # its reader closes it
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _documents(user):
            archive.writestr(name, content)
        left_out = []
        for number, conversation in enumerate(_chats(user), start=1):
            try:
                snapshot = snapshots.of_branch(conversation, with_reasoning=True)
            except snapshots.NothingFinished:
                left_out.append(str(conversation.pk))
                continue
            archive.writestr(
                f"chats/{number:05}-{exports.file_name(snapshot, 'json')}", exports.as_json(snapshot)
            )
        archive.writestr("chats/without-an-answer.json", _json(left_out))
    target.seek(0)
    return target


def _chats(user: User) -> Iterator[Conversation]:
    mine = Conversation.objects.for_user(user).kept().order_by("created_at")
    for key in list(mine.values_list("pk", flat=True)):
        yield Conversation.objects.get(pk=key)


def _documents(user: User) -> Iterator[tuple[str, bytes]]:
    about = {"username": user.username, "email": user.email, "joined": user.date_joined}
    yield "account.json", _json(about | {"theme": user.theme, "language": user.language})
    yield "settings.json", _json(model_to_dict(preferences.of(user), exclude=["user"]))
    yield "memory.json", _json(list(Memory.objects.for_user(user).values("text", "created_at")))
    yield (
        "presets.json",
        _json(list(Preset.objects.filter(user=user).values("name", "thinking", "instructions", "tools"))),
    )
    yield (
        "drafts.json",
        _json(list(Draft.objects.filter(user=user).exclude(text="").values("conversation", "text"))),
    )
    told = Feedback.objects.filter(user=user).values("turn", "is_good", "reasons", "note", "updated_at")
    yield "feedback.json", _json(list(told))
    yield "usage.csv", _usage(user)


def _usage(user: User) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(USAGE)
    writer.writerows(UsageRecord.objects.for_user(user).order_by("created_at").values_list(*USAGE))
    return text.getvalue().encode()


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2)


def clear(user: User, **_signal: object) -> None:
    """Delete all of it; a receiver of the signal that an account is closed. Again is harmless."""
    for conversation in Conversation.objects.filter(user=user):
        if conversation.is_temporary:
            temporary.end(conversation)
        else:
            conversations.delete(conversation)
    for attachment in Attachment.objects.filter(user=user):
        attachment.delete()  # one by one: their files go with them
    for model in (Memory, Preset, Draft, Feedback, Share, Folder, Tag, Preferences, Endpoint):
        model._default_manager.filter(user=user).delete()
