"""The files of a chat as its owner gets them: listed, one by one, and all of them packed."""

import io
import zipfile
from typing import Any

import pytest
from django.test import AsyncClient, Client
from django.urls import reverse

from chat import workspaces
from chat.models import Conversation, Turn
from tests.pages.conftest import MakeTurn
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)
HOSTILE = (
    *("a b&c?.txt", "#1.html", "..\\..\\evil.bat", "C:evil.txt", '";x.txt', "%2e%2e%2fx", "CON"),
    "<img src=x onerror=alert(1)>.svg",
)


@pytest.fixture
def reader(alice: User) -> AsyncClient:
    reader = AsyncClient()
    reader.force_login(alice)
    return reader


def place(name: str, conversation: Conversation, *path: str) -> str:
    return reverse(name, args=[conversation.pk, *path])


async def body_of(response: Any) -> bytes:
    return b"".join([piece async for piece in response.streaming_content])


async def test_a_file_is_downloaded_as_it_is_and_never_opened_as_a_page(
    reader: AsyncClient, conversation: Conversation
) -> None:
    content = b"<script>alert(1)</script>"
    workspaces.put(conversation, "site/index.html", content)
    response = await reader.get(place("file", conversation, "site/index.html"))
    assert (response.status_code, await body_of(response)) == (200, content)
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment;")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Length"] == str(len(content))


async def test_names_made_to_deceive_come_through(reader: AsyncClient, conversation: Conversation) -> None:
    for name in HOSTILE:
        workspaces.put(conversation, name, name.encode())
    for name in HOSTILE:
        response = await reader.get(place("file", conversation, name))
        assert await body_of(response) == name.encode()
        assert "\n" not in response["Content-Disposition"]
        assert response["Content-Disposition"].count(";") == 1
    listed = (await reader.get(place("files", conversation))).content.decode()
    assert "<img src=x" not in listed
    assert "&lt;img src=x onerror=alert(1)&gt;.svg" in listed
    packed = zipfile.ZipFile(io.BytesIO(await body_of(await reader.get(place("files_zip", conversation)))))
    assert packed.testzip() is None
    assert all(
        "\\" not in name and ":" not in name and not name.startswith("/") for name in packed.namelist()
    )
    assert len(packed.namelist()) == len(HOSTILE)


async def test_a_zip_gives_back_what_was_put_in(reader: AsyncClient, conversation: Conversation) -> None:
    files = {"a.py": b"print()\n", "data/raw.bin": bytes(range(256)) * 5_000, "data/empty": b""}
    for path, content in files.items():
        workspaces.put(conversation, path, content)
    response = await reader.get(place("files_zip", conversation))
    packed = zipfile.ZipFile(io.BytesIO(await body_of(response)))
    assert {name: packed.read(name) for name in packed.namelist()} == files
    assert response["Content-Disposition"].endswith("Trees%20and%20heat.zip")


def test_nobody_else_finds_them(client: Client, bob: User, conversation: Conversation) -> None:
    workspaces.put(conversation, "a.txt", b"secret")
    for address in (
        place("files", conversation),
        place("files_zip", conversation),
        place("file", conversation, "a.txt"),
    ):
        assert client.get(address).status_code == 302, "who is nobody signs in first"
        client.force_login(bob)
        assert client.get(address).status_code == 404
        client.logout()


def test_a_name_in_chinese_comes_through(alices_client: Client, conversation: Conversation) -> None:
    workspaces.put(conversation, "文件.txt", b"x")
    response = alices_client.get(place("file", conversation, "文件.txt"))
    assert response["Content-Disposition"] == "attachment; filename*=UTF-8''%E6%96%87%E4%BB%B6.txt"


async def test_what_is_no_file_is_not_found(reader: AsyncClient, conversation: Conversation) -> None:
    workspaces.put(conversation, "a/b.txt", b"x")
    for path in ("a", "a/", "none", "a/b.txt/c", "..%2f..%2fetc/passwd", "a/../a/b.txt", "%0a", "x" * 3_000):
        response = await reader.get(f"/c/{conversation.pk}/files/{path}")
        assert response.status_code == 404, path


def test_a_chat_without_files_has_an_empty_list_and_makes_no_folder(
    alices_client: Client, conversation: Conversation
) -> None:
    assert alices_client.get(place("files", conversation)).status_code == 200
    assert workspaces.listing(conversation) == []
    assert not workspaces._files(conversation.id).root.exists()


def test_files_go_with_their_chat_and_what_nobody_owns_is_cleared_away(
    alice: User, conversation: Conversation, make_turn: MakeTurn
) -> None:
    other = Conversation.objects.create(user=alice)
    for each in (conversation, other):
        workspaces.put(each, "a.txt", b"x")
    gone = workspaces._files(other.id).root
    Conversation.objects.filter(id=other.id).delete()
    workspaces.tidy()
    assert not gone.exists()
    assert [file.path for file in workspaces.listing(conversation)] == ["a.txt"]


def test_a_turn_that_is_over_takes_no_folder(make_turn: MakeTurn, conversation: Conversation) -> None:
    first = make_turn("One", status=Turn.Status.RUNNING)
    workspaces.of_turn(first).put("a.txt", b"1")
    Turn.objects.filter(id=first.id).update(status=Turn.Status.FINISHED)
    second = make_turn("Two", status=Turn.Status.RUNNING)
    workspaces.of_turn(second).put("a.txt", b"2")
    with pytest.raises(workspaces.TurnOver):
        workspaces.of_turn(first)
    conversation.refresh_from_db()
    assert workspaces.read(conversation, "a.txt", max_bytes=10) == b"2"
    with pytest.raises(workspaces.WorkspaceFull, match="larger"):
        workspaces.read(conversation, "a.txt", max_bytes=0)
