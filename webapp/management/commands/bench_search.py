"""`manage.py bench_search`: how long a search takes among very many messages, in English and Chinese.

In a database of its own, which is removed again: SQLite's in a file, PostgreSQL's beside the platform's.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand
from django.db import connection
from django.utils import timezone

from chat import search
from chat.models import Conversation, SearchEntry, Turn
from webapp.accounts.models import User
from webapp.billing import accounts
from webapp.billing.models import Hold
from webapp.catalog.models import ServedModel

TURNS_OF_A_CHAT = 10
GOAL_MS = 100.0
QUERIES_OF_A_KIND = 25
AT_ONCE = 5_000


class Command(BaseCommand):
    help = "Measure search among many messages of one person; the goal is 100 ms for 95 of 100 searches."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--messages", type=int, default=100_000)
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *, messages: int, seed: int, **options: Any) -> None:
        with tempfile.TemporaryDirectory(prefix="bench-search-") as folder:
            if connection.vendor == "sqlite":
                connection.settings_dict["TEST"]["NAME"] = str(Path(folder) / "bench.sqlite3")
            before = connection.settings_dict["NAME"]
            connection.creation.create_test_db(verbosity=0, autoclobber=True)
            try:
                self._measure(messages, random.Random(seed))
            finally:
                connection.creation.destroy_test_db(str(before), verbosity=0)

    def _measure(self, num_messages: int, chance: random.Random) -> None:
        words = Words(chance)
        started = time.perf_counter()
        with _indexed_afterwards():
            user = _fill(num_messages, words)
        self.stdout.write(
            f"{connection.vendor}: {num_messages} messages in {time.perf_counter() - started:.0f} s"
        )
        every: list[float] = []
        for kind, texts in words.queries().items():
            taken, hits = [], 0
            for text in texts:
                began = time.perf_counter()
                query = search.Query(text=text)
                hits += len(search.messages(user, query).hits) + len(search.chats(user, query))
                taken.append((time.perf_counter() - began) * 1000)
            every += taken
            self.stdout.write(f"{kind:<28} p95 {_p95(taken):>7.1f} ms   hits {hits / len(texts):>5.1f}")
        p50, p95 = statistics.median(every), _p95(every)
        verdict = "met" if p95 <= GOAL_MS else "missed"
        self.stdout.write(
            f"{'all':<28} p95 {p95:>7.1f} ms   p50 {p50:.1f} ms   goal {GOAL_MS:.0f}: {verdict}"
        )


class Words:
    """Texts whose words are as common as those of a language: the n-th word n times rarer than the first."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        letters = "eeetaoinshrdlucmfwypvbgkjqxz"
        self.english = ["".join(chance.choices(letters, k=chance.randint(2, 10))) for _ in range(20_000)]
        self.chinese = [chr(0x4E00 + number) for number in chance.sample(range(6_000), 4_000)]
        self._ranks = [1 / (rank + 1) for rank in range(20_000)]
        self.said: list[str] = []

    def text(self) -> str:
        chance, length = self.chance, int(self.chance.lognormvariate(4.3, 0.8)) + 3
        if chance.random() < 0.5:
            made = " ".join(chance.choices(self.english, self._ranks, k=length))
        else:
            signs = chance.choices(self.chinese, self._ranks[: len(self.chinese)], k=2 * length)
            made = "，".join("".join(signs[at : at + 12]) for at in range(0, len(signs), 12))
        if chance.random() < 0.01:
            self.said.append(made)
        return made

    def queries(self) -> dict[str, list[str]]:
        some = range(QUERIES_OF_A_KIND)
        chance, english = self.chance, self.english
        latin = [text for text in self.said if text.isascii()]
        wide = [text for text in self.said if not text.isascii()]

        def cut(texts: list[str], size: int) -> str:
            text = chance.choice([text for text in texts if len(text) > size])
            at = chance.randrange(len(text) - size)
            return text[at : at + size]

        return {
            "common word": [english[number] for number in some],
            "word": [english[500 + 20 * number] for number in some],
            "rare word": [english[-1 - number] for number in some],
            "two words": [f"{english[2 * number]} {english[50 + number]}" for number in some],
            "phrase": [f'"{cut(latin, 14)}"' for _ in some],
            "part of a word": [english[100 + number][:3] for number in some],
            "four signs": [cut(wide, 4) for _ in some],
            "two signs": [cut(wide, 2) for _ in some],
            "two rare signs": ["".join(chance.sample(self.chinese[-2000:], 2)) for _ in some],
            "one sign": [chance.choice(self.chinese) for _ in some],
            "both languages": [f"{english[number]} {self.chinese[number]}" for number in some],
            "nothing": [f"zzqq{number}" for number in some],
        }


def _fill(num_messages: int, words: Words) -> User:
    user = User.objects.create_user("bench", password=None)
    model = ServedModel.objects.create(
        name="bench",
        label="Bench",
        backend="scripted",
        upstream_name="bench",
        context_tokens=1,
        max_output_tokens=1,
    )
    now, account = timezone.now(), accounts.of(user)
    num_turns = num_messages // 2
    conversations = [
        Conversation(user=user, title=words.text()[:60]) for _ in range(num_turns // TURNS_OF_A_CHAT + 1)
    ]
    Conversation.objects.bulk_create(conversations, batch_size=AT_ONCE)
    SearchEntry.objects.bulk_create(
        [
            SearchEntry(user=user, conversation=one, kind="title", text=one.title, at=now)
            for one in conversations
        ],
        batch_size=AT_ONCE,
    )
    for first in range(0, num_turns, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, num_turns))
        holds = [
            Hold(account=account, model=model, amount_nano=0, status="released", expires_at=now)
            for _ in numbers
        ]
        Hold.objects.bulk_create(holds)
        turns = [
            Turn(
                id=uuid4(),
                conversation=conversations[number // TURNS_OF_A_CHAT],
                model=model,
                hold=hold,
                status="finished",
                max_steps=1,
                max_seconds=1,
                max_reasoning_tokens=0,
                max_output_tokens=1,
            )
            for number, hold in zip(numbers, holds, strict=True)
        ]
        Turn.objects.bulk_create(turns)
        SearchEntry.objects.bulk_create(_entries(user, turns, words), batch_size=AT_ONCE)
    return user


@contextmanager
def _indexed_afterwards() -> Iterator[None]:
    """PostgreSQL takes much longer to keep its index with each row than to make it at the end."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'chat_search_letters'")
        [index] = cursor.fetchone()
        cursor.execute("DROP INDEX chat_search_letters")
        yield
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute(index)
        cursor.execute("VACUUM ANALYZE chat_searchentry")


def _entries(user: User, turns: list[Turn], words: Words) -> Iterator[SearchEntry]:
    for number, turn in enumerate(turns):
        at = timezone.now() - timedelta(minutes=len(turns) - number)
        for kind in ("question", "answer"):
            yield SearchEntry(
                user=user, conversation=turn.conversation, turn=turn, kind=kind, text=words.text(), at=at
            )


def _p95(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=20)[-1]
