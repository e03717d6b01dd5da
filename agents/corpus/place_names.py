"""Names of places made comparable."""

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_DROPPED = frozenset(("the", "of", "and"))


def plain(name: str) -> str:
    """Small letters without accents, punctuation or little words: "The Gambia" and "Gambia, The" are one."""
    decomposed = unicodedata.normalize("NFKD", name.casefold().replace("&", " and "))
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(sorted(word for word in _WORD.findall(letters.replace("'", "")) if word not in _DROPPED))
