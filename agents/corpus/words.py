"""Words as the index holds them: SQLite's word breaker for scripts with spaces, pairs of characters for
Chinese and Japanese, which have none."""

import re

MAX_WORDS = 32
# Han, kana and the iteration mark.
_CJK = re.compile(r"[\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"[^\W_]+")
_TOO_COMMON = frozenset(
    _WORD.findall(
        "a an and are as at be by did do does for from had has have how in is it its of on or that the their "
        "there these this to was were what when where which who whose why will with would "
        "about after before can could i if into me mine my only own should so some such than them then they "
        "us we you your"
    )
)


def indexed(text: str) -> str:
    """The text with each run of Chinese characters as its overlapping pairs, and its last character."""
    return _CJK.sub(lambda run: f" {' '.join(_pairs(run[0]))} {run[0][-1]} ", text)


def has_chinese(text: str) -> bool:
    return _CJK.search(text) is not None


def columns(document_id: str, title: str, heading: str, text: str) -> tuple[str, str, str, str]:
    """A passage as the index holds it: title, heading, place, text. The place is what the id says: the
    corpus, the manual, the file."""
    place = " ".join(_LETTERS.findall(document_id))
    # A page's first heading is often its title: said twice it would count twice.
    heading = "" if heading == title else heading
    return indexed(title), indexed(heading), indexed(place), indexed(text)


def query(text: str) -> str:
    """What FTS5 is asked for: any of the words, rare ones counting more. "" where there are none."""
    terms: list[str] = []
    for run in _CJK.findall(text):
        terms += [f'"{pair}"' for pair in _pairs(run)] or [f'"{run}"*']
    words = [word.casefold() for word in _WORD.findall(_CJK.sub(" ", text))]
    terms += [f'"{word}"' for word in words if word not in _TOO_COMMON] or [f'"{word}"' for word in words]
    return " OR ".join(list(dict.fromkeys(terms))[:MAX_WORDS])


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)]
