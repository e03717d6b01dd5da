"""A chat as a file: readable as Markdown, whole as JSON, and nobody else's."""

import json

from django.test import Client
from django.utils import timezone

from chat import adoption, exports, snapshots
from chat.models import Conversation, Passage, Turn
from tests.pages.conftest import MakeTurn
from webapp.accounts.models import User


def made(make_turn: MakeTurn) -> Turn:
    first = make_turn("How\nsolid?", "As **read** [1].", reasoning="I look.\n</details>")
    Passage.objects.create(
        turn=first,
        number=1,
        call_id="c",
        source="https://example.com/paper",
        title="A paper",
        text="Quoted.",
        sha256="",
        trust="outside",
        fetched_at=timezone.now(),
    )
    return make_turn("然后呢？", "More.", parent=first)


def test_markdown_reads_well(alices_client: Client, conversation: Conversation, make_turn: MakeTurn) -> None:
    made(make_turn)
    answer = alices_client.get(f"/c/{conversation.pk}/export.md")
    text = answer.content.decode()
    assert text.startswith("# Trees and heat\n\n> How\n> solid?\n\n**")
    assert (
        "I look.\n&lt;/details>\n\n</details>\n\nAs **read** [1].\n\n- [1] A paper <https://example.com/paper>"
        in text
    )
    assert "> 然后呢？" in text
    assert answer["Content-Disposition"] == 'attachment; filename="Trees-and-heat.md"'


def test_json_holds_all_of_the_branch_and_makes_it_again(
    alices_client: Client, conversation: Conversation, make_turn: MakeTurn, bob: User
) -> None:
    made(make_turn)
    content = alices_client.get(f"/c/{conversation.pk}/export.json").content
    plain = json.loads(content)
    assert (plain["format"], plain["version"]) == (snapshots.FORMAT, snapshots.VERSION)
    assert [one["question"] for one in plain["exchanges"]] == ["How\nsolid?", "然后呢？"]
    assert plain["exchanges"][0]["sources"][0]["address"] == "https://example.com/paper"
    again = snapshots.of_branch(adoption.adopt(bob, exports.read(content)), with_reasoning=True)
    assert [(one.question, one.answer, one.reasoning) for one in again.exchanges] == [
        ("How\nsolid?", "As **read** [1].", "I look.\n</details>"),
        ("然后呢？", "More.", ""),
    ]


def test_another_s_chat_cannot_be_exported(
    conversation: Conversation, make_turn: MakeTurn, bob: User
) -> None:
    made(make_turn)
    bobs = Client()
    bobs.force_login(bob)
    assert bobs.get(f"/c/{conversation.pk}/export.json").status_code == 404
    assert bobs.get(f"/c/{conversation.pk}/export.md").status_code == 404


def test_no_other_form_and_no_empty_file(
    alices_client: Client, conversation: Conversation, make_turn: MakeTurn
) -> None:
    assert alices_client.get(f"/c/{conversation.pk}/export.md").status_code == 404
    made(make_turn)
    assert alices_client.get(f"/c/{conversation.pk}/export.exe").status_code == 404


def test_any_title_makes_a_file_name() -> None:
    for title, name in (
        ("", "chat.md"),
        ("../../etc", "etc.md"),
        ("树与热\n?", "树与热.md"),
        ("a" * 99, "a" * 60 + ".md"),
    ):
        snapshot = snapshots.Snapshot(title=title, made_at=timezone.now(), exchanges=())
        assert exports.file_name(snapshot, "md") == name
