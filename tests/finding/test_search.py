"""Search: English and Chinese, words of any length, only what is on show, never another's."""

from datetime import timedelta

import pytest
from django.utils import timezone

from chat import conversations, search
from chat.models import Conversation, SearchEntry, Turn
from tests.finding.conftest import Say, found, titled
from webapp.accounts.models import User

pytestmark = pytest.mark.database
TREES = "Going from 8 % to 30 % in Barcelona means canopy over a third of the roads. A tree takes 30 years."
HEAT = "城市热岛：树冠还是屋顶？与浅色屋顶相比，tree canopy 在夜间的降温作用更弱"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("canopy", [HEAT, TREES]),
        ("CANOPY Barcelona", [TREES]),
        ("arcelon", [TREES]),  # part of a word
        ("城市热岛", [HEAT]),
        ("屋顶", [HEAT]),  # two letters, which no trigram has
        ("弱", [HEAT]),  # one, the last of its text
        ("更弱", [HEAT]),
        ("8 %", [TREES]),
        ("降温tree", [HEAT]),
        ('"tree canopy"', [HEAT]),
        ('"canopy tree"', []),
        ("canopy 冬天", []),
        ("winter", []),
        ("", []),
        ('"', []),
    ],
)
def test_every_word_is_found_wherever_it_stands(
    alice: User, say: Say, text: str, expected: list[str]
) -> None:
    say("One", TREES)
    say("Two", HEAT)
    hits = [hit.replace("[", "").replace("]", "") for hit in found(alice, text)]
    assert hits == expected


@pytest.mark.parametrize(
    "text", ['a" OR "b', "NOT x", "100%", "a_b", "c:\\d", "x*", "'; --", "\0", "text:", "(", "^a"]
)
def test_signs_mean_themselves(alice: User, say: Say, text: str) -> None:
    say("Nothing of that kind", "here.")
    assert found(alice, text) == []


@pytest.mark.parametrize("text", ["100%", "a_b", "c:\\d", "x*", "'; --", "(y)"])
def test_signs_are_found(alice: User, say: Say, text: str) -> None:
    say(f"It says {text} there")
    assert found(alice, text) == [f"It says {text} there".replace(text, "[" + text.replace(" ", "] [") + "]")]


def test_the_hit_is_marked_in_what_stands_around_it(alice: User, say: Say) -> None:
    say("What?", "word " * 100 + "the **needle** of it " + "word " * 100)
    [hit] = found(alice, "needle")
    assert "the [needle] of it" in hit
    assert hit.startswith("…")
    assert hit.endswith("…")
    assert len(hit) < 300


def test_nobody_finds_another_s(alice: User, bob: User, say: Say) -> None:
    say("My secret", "is safe")
    titled(alice, "A secret title")
    assert found(bob, "secret") == []
    assert search.chats(bob, search.Query(text="secret")) == []
    assert [hit.conversation.title for hit in search.chats(alice, search.Query(text="secret"))] == [
        "A secret title"
    ]


def test_pages_follow_without_loss(alice: User, say: Say) -> None:
    for number in range(search.PAGE_HITS + 3):
        say(f"question {number:02}")
    for text in ("question", "0"):
        query = search.Query(text=text)
        first = search.messages(alice, query, limit=5)
        seen, before = [hit.at for hit in first.hits], first.before
        while before is not None:
            page = search.messages(alice, query, before=before, limit=5)
            seen, before = seen + [hit.at for hit in page.hits], page.before
        assert seen == sorted(set(seen), reverse=True)
        assert len(seen) == SearchEntry.objects.filter(kind="question", text__contains=text).count()


@pytest.mark.parametrize("text", ["树冠", "ab"])
def test_what_is_short_and_old_is_found_in_the_index(
    alice: User, say: Say, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(f"Long ago: {text}")
    say("Later")
    monkeypatch.setattr(search, "NEWEST", 1)
    assert found(alice, text) == [f"Long ago: [{text}]"]


def test_filters_narrow_down(alice: User, say: Say) -> None:
    say("heat")
    today = timezone.localdate()
    assert found(alice, "heat", since=today, until=today, model="scripted") == ["[heat]"]
    assert found(alice, "heat", since=today + timedelta(days=1)) == []
    assert found(alice, "heat", until=today - timedelta(days=1)) == []
    assert found(alice, "heat", model="other") == []


def test_what_is_renamed_or_deleted_is_gone_from_the_index(alice: User, say: Say) -> None:
    turn = say("needle", "needle")
    old = titled(alice, "Old name")
    conversations.rename(old, title="New name")
    assert search.chats(alice, search.Query(text="Old")) == []
    assert search.chats(alice, search.Query(text="New"))[0].conversation == old
    conversations.delete(turn.conversation)
    assert found(alice, "needle") == []
    assert not SearchEntry.objects.filter(conversation=turn.conversation_id).exists()


def test_agents_are_not_searched(alice: User, say: Say) -> None:
    turn = say("for me")
    say("needle", "needle", spawned_by=turn)
    assert found(alice, "needle") == []


def test_a_name_may_be_given_twice(alice: User) -> None:
    chat = titled(alice, "Twice")
    conversations.rename(chat, title="Twice")
    assert SearchEntry.objects.get(conversation=chat).text == "Twice"
    assert Conversation.objects.get().title == "Twice"
    assert not Turn.objects.exists()
