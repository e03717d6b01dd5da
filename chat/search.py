"""Finds a person's titles, questions and answers by what they contain, newest first.

Every word must be there, as a part of a longer one too; "in quotes" is one word. The database's index of
letters finds them. Words that are too short for it are looked for in what is newest, which ends soon when
they are common; rare ones are then found in the index by how its entries begin.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from chat.models import Conversation, SearchEntry
from webapp.accounts.models import User

PAGE_HITS = 20
NEWEST = 2_000  # entries that are read without the index
NEWEST_SOURCES = 40  # answers whose sources are looked through
MAX_CHARS, MAX_WORDS = 200, 8
BEFORE_CHARS, AFTER_CHARS = 48, 160  # of the text around a hit
PLACE_BITS = 36  # of a place in SQLite's index: below them the entry, above them its person and kind
INDEXED_CHARS = 3

_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003fffd"  # a letter may be a word
_WORDS = re.compile(rf'"([^"]+)"|([{_WIDE}]+)|([^\s"{_WIDE}]+)')
_MARKUP = re.compile(r"\*\*|`+|^#+ |\|", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is looked for; `since` and `until` are days, both included."""

    text: str
    since: date | None = None
    until: date | None = None
    model: str = ""
    folder: int | None = None

    @property
    def words(self) -> tuple[str, ...]:
        found = (
            "".join(groups).strip() for groups in _WORDS.findall(self.text[:MAX_CHARS].replace("\0", ""))
        )
        return tuple(dict.fromkeys(word.lower() for word in found if word))[:MAX_WORDS]


@dataclass(frozen=True, kw_only=True)
class Piece:
    text: str
    is_hit: bool


@dataclass(frozen=True, kw_only=True)
class Hit:
    conversation: Conversation
    turn_id: UUID | None
    kind: str
    at: datetime
    snippet: list[Piece]


@dataclass(frozen=True, kw_only=True)
class Page:
    """`before` asks for the next page; None when this is the last."""

    hits: list[Hit]
    before: int | None = None


def chats(user: User, query: Query, *, limit: int = PAGE_HITS) -> list[Hit]:
    """The conversations whose title has all the words, the last used first."""
    hits = _page(user, query, kind="title", before=None, limit=limit).hits
    return sorted(hits, key=lambda hit: hit.conversation.updated_at, reverse=True)


@dataclass(frozen=True, kw_only=True)
class SourceHit:
    """A source that an answer cites as `number`; `host` is the name of a file where it is no page."""

    conversation: Conversation
    turn_id: UUID | None
    at: datetime
    number: str
    title: list[Piece]
    host: list[Piece]


def sources(user: User, query: Query, *, limit: int = PAGE_HITS) -> list[SourceHit]:
    """The sources of answers whose title and host have all the words, the newest first, each once."""
    found: dict[str, SourceHit] = {}
    for entry in _entries(user, query, kind="source", before=None, limit=NEWEST_SOURCES)[0]:
        for line in entry.text.splitlines():
            number, title, host = line.split("\t", 2)
            about = _lower(f"{title}\t{host}")
            if all(word in about for word in query.words):
                hit = SourceHit(
                    conversation=entry.conversation,
                    turn_id=entry.turn_id,
                    at=entry.at,
                    number=number,
                    title=_marked(title, query.words),
                    host=_marked(host, query.words),
                )
                found.setdefault(about, hit)
            if len(found) == limit:
                return list(found.values())
    return list(found.values())


def messages(user: User, query: Query, *, before: int | None = None, limit: int = PAGE_HITS) -> Page:
    """The questions and answers that have all the words."""
    return _page(user, query, kind="", before=before, limit=limit)


def _page(user: User, query: Query, *, kind: str, before: int | None, limit: int) -> Page:
    entries, older = _entries(user, query, kind=kind, before=before, limit=limit)
    return Page(hits=[_hit(entry, query.words) for entry in entries], before=older)


def _entries(
    user: User, query: Query, *, kind: str, before: int | None, limit: int
) -> tuple[list[SearchEntry], int | None]:
    """The newest that have all the words, and before which of them there are more."""
    if not query.words:
        return [], None
    reach = _Reach(user_id=user.id, query=query, kind=kind, before=before, limit=limit + 1)
    ids = _sqlite(reach) if connection.vendor == "sqlite" else _postgres(reach)
    entries = SearchEntry.objects.for_user(user).select_related("conversation").in_bulk(ids)
    shown = [entries[found] for found in ids[:limit] if found in entries]  # one may have just been deleted
    return shown, ids[limit - 1] if len(ids) > limit else None


def _hit(entry: SearchEntry, words: Sequence[str]) -> Hit:
    return Hit(
        conversation=entry.conversation,
        turn_id=entry.turn_id,
        kind=entry.kind,
        at=entry.at,
        snippet=snippet(entry.text, words),
    )


# ---- the text around a hit


def snippet(text: str, words: Sequence[str]) -> list[Piece]:
    """The first place of the longest word with what stands around it, every word in it a hit."""
    place = max(_lower(text).find(max(words, key=len)), 0)
    start, end = max(place - 2 * BEFORE_CHARS, 0), place + 2 * AFTER_CHARS
    cut = " ".join(_MARKUP.sub("", text[start:end]).split())
    if not any(word in _lower(cut) for word in words):
        cut = " ".join(text[start:end].split())
    place = max(_lower(cut).find(max(words, key=len)), 0)
    first, last = max(place - BEFORE_CHARS, 0), place + AFTER_CHARS
    shown = (
        ("…" if start + first else "") + cut[first:last] + ("…" if end < len(text) or last < len(cut) else "")
    )
    return _marked(shown, words)


def _marked(text: str, words: Sequence[str]) -> list[Piece]:
    longest_first = sorted(words, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(word) for word in longest_first))
    pieces, end = [], 0
    for match in pattern.finditer(_lower(text)):
        pieces.append(Piece(text=text[end : match.start()], is_hit=False))
        pieces.append(Piece(text=text[match.start() : match.end()], is_hit=True))
        end = match.end()
    pieces.append(Piece(text=text[end:], is_hit=False))
    return [piece for piece in pieces if piece.text]


def _lower(text: str) -> str:
    """Letter for letter, so that a place in it is the place in the text."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(min(c.lower(), c, key=len) for c in text)


# ---- in the database


@dataclass(frozen=True, kw_only=True)
class _Reach:
    """Which entries are meant: all their conditions but the index's, as SQL over `entry`."""

    user_id: int
    query: Query
    kind: str  # title or source; questions and answers where it is empty
    before: int | None
    limit: int

    @property
    def words(self) -> Sequence[str]:
        return self.query.words

    @property
    def is_mine(self) -> tuple[str, list[Any]]:
        sql, values = f"entry.user_id = %s AND {self._is_of_kind}", [self.user_id]
        if self.before is not None:
            return f"{sql} AND entry.id < %s", [*values, self.before]
        return sql, values

    @property
    def is_small(self) -> bool:
        """Whether it is in the smaller half of SQLite's index, that of titles and sources."""
        return bool(self.kind)

    @property
    def _is_of_kind(self) -> str:
        return f"entry.kind = '{self.kind}'" if self.kind else "entry.kind NOT IN ('title', 'source')"

    @property
    def is_wanted(self) -> tuple[str, list[Any]]:
        """The filters and, for what the index only narrows down, the words themselves."""
        conditions, values = [self._is_of_kind if self.is_small else "TRUE"], list[Any]()
        for word in self.words:
            if connection.vendor != "sqlite":
                conditions.append("strpos(lower(entry.text), %s) > 0")
                values.append(word)
            elif len(word) < INDEXED_CHARS:
                conditions.append("entry.text LIKE %s ESCAPE '\\'")
                values.append(f"%{_escaped(word)}%")
        for condition, value in self._filters():
            conditions.append(condition)
            values.append(value)
        return " AND ".join(conditions), values

    def _filters(self) -> list[tuple[str, Any]]:
        query, found = self.query, list[tuple[str, Any]]()
        prepared = connection.ops.adapt_datetimefield_value
        if query.since:
            found.append(("entry.at >= %s", prepared(_moment(query.since, time.min))))
        if query.until:
            found.append(("entry.at <= %s", prepared(_moment(query.until, time.max))))
        if query.folder is not None:
            chat = "SELECT 1 FROM chat_conversation WHERE id = entry.conversation_id AND folder_id = %s"
            found.append((f"EXISTS ({chat})", query.folder))
        if query.model and not self.is_small:
            model = "SELECT id FROM catalog_servedmodel WHERE name = %s"
            turn = f"SELECT 1 FROM chat_turn WHERE id = entry.turn_id AND model_id = ({model})"
            found.append((f"EXISTS ({turn})", query.model))
        return found


def _sqlite(reach: _Reach) -> list[int]:
    indexed = [word for word in reach.words if len(word) >= INDEXED_CHARS]
    if indexed:
        match = " AND ".join('"{}"'.format(word.replace('"', '""')) for word in indexed)
        places = "SELECT rowid AS place FROM chat_search WHERE chat_search MATCH %s"
        return _sqlite_places(reach, f"{places} AND rowid > %s AND rowid < %s ORDER BY rowid DESC", [match])
    newest = _newest(reach)
    if len(newest) >= reach.limit:
        return newest
    longest = max(reach.words, key=len)
    places = "SELECT DISTINCT doc AS place FROM chat_search_letters WHERE term >= %s AND term < %s"
    ends = [longest, longest + chr(0x10FFFF)]
    return _sqlite_places(reach, f"{places} AND doc > %s AND doc < %s ORDER BY doc DESC", ends)


def _sqlite_places(reach: _Reach, places: str, values: list[Any]) -> list[int]:
    """The wanted among these places of the index, which come newest first."""
    first = (reach.user_id * 2 + reach.is_small) << PLACE_BITS
    last = first + ((1 << PLACE_BITS) if reach.before is None else reach.before)
    wanted, more = reach.is_wanted
    # CROSS: the index leads, and the search ends as soon as there are enough.
    return _ids(
        f"SELECT entry.id FROM ({places}) hit CROSS JOIN chat_searchentry entry"
        f" ON entry.id = hit.place - {first} WHERE {wanted} ORDER BY hit.place DESC LIMIT {reach.limit}",
        [*values, first, last, *more],
    )


def _postgres(reach: _Reach) -> list[int]:
    newest = _newest(reach)
    pieces = sorted({piece for word in reach.words for piece in _grams(word)})
    if len(newest) >= reach.limit or not pieces or not _has_older(reach):
        return newest
    mine, values = reach.is_mine
    wanted, more = reach.is_wanted
    hits = f"SELECT id FROM chat_searchentry entry WHERE {mine} AND chat_search_grams(text) @> %s::text[]"
    # The index first, whatever the planner thinks; then one text after the other until there are enough.
    text = f"SELECT entry.id FROM chat_searchentry entry WHERE entry.id = hit.id AND {wanted} OFFSET 0"
    return _ids(
        f"WITH hit AS MATERIALIZED ({hits})"
        f" SELECT found.id FROM (SELECT id FROM hit ORDER BY id DESC) hit CROSS JOIN LATERAL ({text}) found"
        f" ORDER BY hit.id DESC LIMIT {reach.limit}",
        [*values, pieces, *more],
    )


def _has_older(reach: _Reach) -> bool:
    """Whether there is more of this person than what was read as the newest."""
    mine, values = reach.is_mine
    return bool(
        _ids(
            f"SELECT entry.id FROM chat_searchentry entry WHERE {mine}"
            f" ORDER BY entry.id DESC OFFSET {NEWEST} LIMIT 1",
            values,
        )
    )


def _newest(reach: _Reach) -> list[int]:
    """Of the newest entries those that are wanted."""
    mine, values = reach.is_mine
    wanted, more = reach.is_wanted
    newest = f"SELECT * FROM chat_searchentry entry WHERE {mine} ORDER BY entry.id DESC LIMIT {NEWEST}"
    return _ids(
        f"SELECT entry.id FROM ({newest}) entry WHERE {wanted} ORDER BY entry.id DESC LIMIT {reach.limit}",
        [*values, *more],
    )


def _ids(sql: str, values: list[Any]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [row[0] for row in cursor.fetchall()]


def _grams(word: str) -> set[str]:
    """The pieces of it that PostgreSQL's index has."""
    size = min(len(word), INDEXED_CHARS)
    if size == 1 and ord(word) < 0x2E80:
        return set()
    return {word[at : at + size] for at in range(len(word) - size + 1)}


def _escaped(word: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", word)


def _moment(day: date, at: time) -> datetime:
    return timezone.make_aware(datetime.combine(day, at))
