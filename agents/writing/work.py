"""A report ready to be printed: all that a file of it needs, in plain values."""

from collections.abc import Mapping

import msgspec

from agents.writing.manuscript import CITED
from agents.writing.markup import DOUBT

CONTENTS_FROM = 4  # so many headings make a table of contents worth its place


class Chapter(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    title: str
    level: int
    text: str


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the list of sources. `is_kept`: all its passages are still those that were read."""

    number: int
    title: str
    address: str
    read_on: str
    is_kept: bool = True


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """`numbers` are those of the references by the keys of citations; `tables` hold Markdown, `pictures`
    their files, both by the paths that images name."""

    title: str
    made_on: str
    chapters: tuple[Chapter, ...]
    numbers: Mapping[str, int] = {}
    references: tuple[Reference, ...] = ()
    pictures: Mapping[str, bytes] = {}
    tables: Mapping[str, str] = {}

    @property
    def words(self) -> "Words":
        """In the language of the report: that of its title and first pages."""
        sample = self.title + "".join(chapter.title + chapter.text[:2_000] for chapter in self.chapters[:10])
        letters = [character for character in sample if character.isalpha()]
        num_chinese = sum("\u3400" <= character <= "\u9fff" for character in letters)
        return CHINESE if num_chinese * 3 > len(letters) else ENGLISH

    @property
    def has_contents(self) -> bool:
        return len(self.chapters) >= CONTENTS_FROM

    def number_of(self, key: str) -> int | None:
        return self.numbers.get(key)


class Words(msgspec.Struct, frozen=True, kw_only=True):
    language: str
    contents: str
    sources: str
    figure: str
    table: str
    read_on: str
    lost: str
    doubt: str


ENGLISH = Words(
    language="en",
    contents="Contents",
    sources="Sources",
    figure="Figure {}",
    table="Table {}",
    read_on="Read on {}.",
    lost="What was read of it is not kept.",
    doubt="unverified",
)
CHINESE = Words(
    language="zh-Hans",
    contents="目录",
    sources="来源",
    figure="图 {}",
    table="表 {}",
    read_on="读取于 {}。",
    lost="所读内容未保存。",
    doubt="未经证实",
)


def without_marks(text: str) -> str:
    return CITED.sub("", text.replace(DOUBT, ""))
