"""/v1/files: files that programs send, to have their text or to make batches of."""

import asyncio
import io
import uuid
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.base import ContentFile
from django.db.models import QuerySet, Sum
from django.http import QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.datastructures import MultiValueDict

from agents.documents.extraction import ReaderBusy
from chat import code_tools
from webapp.accounts.models import ApiKey
from webapp.api import admission, callers, database
from webapp.api.errors import ApiError, bad_request
from webapp.api.exchange import Exchange
from webapp.api.models import Batch, StoredFile

MOST_FILES = 1_000
PAGE, LONGEST_PAGE = 100, 10_000
SENT = (StoredFile.Purpose.EXTRACT, StoredFile.Purpose.BATCH)


async def create(exchange: Exchange) -> None:
    key = await database.run(caller, exchange.secret, scope="files", address=exchange.address)
    content = await exchange.read_body()
    name, purpose, data = _parsed(exchange, content)
    text = await asyncio.to_thread(_text_of, data, name) if purpose == StoredFile.Purpose.EXTRACT else ""
    stored = await database.run(store, key, name=name, purpose=purpose, content=data, text=text)
    await exchange.send_json(shape(stored))


async def list_all(exchange: Exchange) -> None:
    key = await database.run(caller, exchange.secret, scope="files", address=exchange.address)
    await exchange.send_json(await database.run(_page, key, exchange.query))


async def retrieve(exchange: Exchange, id: str) -> None:
    key = await database.run(caller, exchange.secret, scope="files", address=exchange.address)
    await exchange.send_json(shape(await database.run(find, key, id)))


async def delete(exchange: Exchange, id: str) -> None:
    key = await database.run(caller, exchange.secret, scope="files", address=exchange.address)
    await database.run(_delete, key, id)
    await exchange.send_json({"id": id, "object": "file", "deleted": True})


async def content(exchange: Exchange, id: str) -> None:
    """The bytes as they were sent; of a file to extract, its text in Kimi's shape."""
    key = await database.run(caller, exchange.secret, scope="files", address=exchange.address)
    stored = await database.run(find, key, id)
    if stored.purpose == StoredFile.Purpose.EXTRACT:
        said = {"content": stored.text, "filename": stored.filename, "title": "", "type": "file"}
        return await exchange.send_json(said | {"file_type": stored.filename.rpartition(".")[2].lower()})
    data = await database.run(bytes_of, stored)
    # Never a page: whatever a program put into it, no browser is to run it.
    exchange.extra_headers |= {"content-disposition": "attachment", "x-content-type-options": "nosniff"}
    return await exchange.send_content(data, b"application/octet-stream")


def caller(secret: str, *, scope: str, address: str) -> ApiKey:
    """Raises ApiError 401 and 403."""
    key = admission.authenticate(secret)
    admission.check(key, scope=scope, address=address)
    return key


def find(key: ApiKey, id: str) -> StoredFile:
    """Raises ApiError 404, of another's file, too."""
    found = _own(key).filter(id=id).first() if id.isprintable() else None
    if found is None:
        raise ApiError(
            404, f"There is no file {id[:60]!r}. GET /v1/files lists yours.", code="file_not_found"
        )
    return found


def store(key: ApiKey, *, name: str, purpose: str, content: bytes, text: str = "") -> StoredFile:
    """Raises ApiError 400 where there are too many or too much."""
    own = StoredFile.objects.for_user(key.user).exclude(file="")
    used = own.aggregate(total=Sum("num_bytes"))["total"] or 0
    if own.count() >= MOST_FILES or used + len(content) > settings.ATTACHMENT_QUOTA_MB * 2**20:
        raise bad_request(
            f"You may keep {MOST_FILES:,} files and {settings.ATTACHMENT_QUOTA_MB:,} MB: delete some first.",
            code="file_quota_exceeded",
        )
    return put(key, name=name, purpose=purpose, content=content, text=text)


def put(key: ApiKey, *, name: str, purpose: str, content: bytes, text: str = "") -> StoredFile:
    """Of the platform's own making: it fits in any quota."""
    id = f"file-{uuid.uuid4().hex}"
    return StoredFile.objects.create(
        id=id,
        user=key.user,
        api_key=key,
        purpose=purpose,
        filename=name[:255],
        num_bytes=len(content),
        file=ContentFile(content, name=id),
        text=text.replace("\0", "\N{REPLACEMENT CHARACTER}"),  # PostgreSQL stores no NUL
    )


def bytes_of(stored: StoredFile) -> bytes:
    with stored.file.open("rb") as file:
        return bytes(file.read())


def shape(stored: StoredFile) -> dict[str, Any]:
    return {
        "id": stored.id,
        "object": "file",
        "bytes": stored.num_bytes,
        "created_at": int(stored.created_at.timestamp()),
        "filename": stored.filename,
        "purpose": stored.purpose,
        "status": "processed",
        "status_details": "",
    }


def _own(key: ApiKey) -> QuerySet[StoredFile]:
    """Those that were not deleted."""
    return StoredFile.objects.filter(callers.kept_for(key)).exclude(file="")


def _delete(key: ApiKey, id: str) -> None:
    stored = find(key, id)
    if Batch.objects.filter(input_file=stored, status__in=Batch.OPEN).exists():
        raise ApiError(409, "A batch under way is made of this file: cancel it first.", code="file_in_use")
    stored.num_bytes, stored.text = 0, ""
    stored.file.delete(save=True)
    if not Batch.objects.filter(input_file=stored).exists():  # which goes on naming it
        stored.delete()


def _page(key: ApiKey, query: bytes) -> dict[str, Any]:
    asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    limit = asked.get("limit", str(PAGE))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:6]) <= LONGEST_PAGE):
        raise bad_request(f"`limit` is a whole number from 1 to {LONGEST_PAGE:,}.", param="limit")
    rows = _own(key).order_by("-created_at", "-id")
    if "purpose" in asked:
        purpose = asked["purpose"]
        rows = rows.filter(purpose=purpose) if purpose in StoredFile.Purpose else rows.none()
    if "after" in asked:
        last = find(key, asked["after"])
        rows = rows.filter(created_at__lt=last.created_at)
    found = list(rows[: int(limit) + 1])
    data = [shape(stored) for stored in found[: int(limit)]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return {"object": "list", "data": data, "has_more": len(found) > len(data), **ends}


def _parsed(exchange: Exchange, content: bytes) -> tuple[str, str, bytes]:
    """The file's name, what it is for, and what is in it. Raises ApiError 400."""
    meta = {"CONTENT_TYPE": exchange.content_type, "CONTENT_LENGTH": len(content)}
    try:
        fields, files = _parts(meta, content)
    except (MultiPartParserError, ValueError) as error:
        raise bad_request(f"The body is no multipart/form-data: {error}.") from None
    except SuspiciousOperation:
        raise bad_request(
            "Send the fields `file` and `purpose` alone: these are too many or too long."
        ) from None
    purpose, file = str(fields.get("purpose", "")), files.get("file")
    if purpose not in SENT:
        kinds = " and ".join(f"`{kind.value}`" for kind in SENT)
        raise bad_request(f"`purpose` is one of {kinds}: no model here sees images.", param="purpose")
    if file is None:
        raise bad_request("There is no file in the field `file`.", param="file")
    return file.name or "file", purpose, file.read()


def _parts(meta: dict[str, Any], content: bytes) -> tuple[QueryDict, MultiValueDict[str, Any]]:
    from django.core.files.uploadhandler import MemoryFileUploadHandler

    handler = MemoryFileUploadHandler()
    handler.activated = True  # the body is in memory already
    return MultiPartParser(meta, cast(Any, io.BytesIO(content)), [handler]).parse()


def _text_of(data: bytes, name: str) -> str:
    """Raises ApiError 400 for a file that cannot be read, and 503 when it may be later."""
    try:
        extracted = code_tools.extractor().read(cast(BinaryIO, io.BytesIO(data)), name=name)
    except ReaderBusy:
        raise ApiError(
            503, "The file could not be read now.", kind="server_error", code="reader_busy", retry_after_s=5.0
        ) from None
    if extracted.fault:
        raise bad_request(f"No text was found in the file ({extracted.fault}).", param="file")
    return "\n\n".join(f"{part.heading}\n{part.text}".strip() for part in extracted.parts)
