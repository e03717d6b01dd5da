"""What was found by its words, put in the order of what it means: the first results are compared with the
query by their vectors, as many as fit into the time there is."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TypeVar

import numpy as np

from agents.corpus.words import has_chinese
from agents.search.minilm import Array, MiniLM

NUM_RANKED = 24
TEXT_TOKENS = 96
QUERY_TOKENS = 64
BUDGET_S = 0.6
MAX_KEPT = 20_000  # vectors: 31 MB
MEANING_SHARE = 0.7  # of the likeness of meaning in the worth of a text; the rest is that of the words
FEW_WORDS = 5
_AT_ONCE = 8

Item = TypeVar("Item")


class Reranker:
    """For any thread. Vectors of texts are kept: what is found often costs nothing."""

    def __init__(
        self, model: MiniLM, *, budget_s: float = BUDGET_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model = model
        self._budget_s = budget_s
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, Array] = OrderedDict()

    @staticmethod
    def helps(query: str) -> bool:
        """Who asks in a few words means those: their order is then the better one. The model reads no
        Chinese."""
        return len(query.split()) > FEW_WORDS and not has_chinese(query)

    def ordered(
        self,
        query: str,
        items: Sequence[Item],
        *,
        text: Callable[[Item], str],
        score: Callable[[Item], float],
    ) -> list[Item]:
        """The items, best first before and after. Those beyond the first, or for which there was no time,
        stay behind the others in the order in which they came."""
        texts = [text(item) for item in items[:NUM_RANKED]]
        wanted = self._model.vectors([query], max_tokens=QUERY_TOKENS)[0]
        vectors = self._vectors(texts)
        if not vectors:
            return list(items)
        likeness: Array = np.stack(vectors) @ wanted
        words = np.array([score(item) for item in items[: len(vectors)]], np.float32)
        worth = MEANING_SHARE * _stretched(likeness) + (1 - MEANING_SHARE) * _stretched(words)
        order = np.argsort(-worth, kind="stable")
        return [*(items[at] for at in order), *items[len(vectors) :]]

    def _vectors(self, texts: Sequence[str]) -> list[Array]:
        """Of the first texts, and of those behind them until the time is up."""
        gives_up_at = self._clock() + self._budget_s
        found: list[Array] = []
        for start in range(0, len(texts), _AT_ONCE):
            batch = texts[start : start + _AT_ONCE]
            names = [blake2b(text.encode(), digest_size=16).digest() for text in batch]
            unknown = [at for at, name in enumerate(names) if name not in self._kept]
            if found and unknown and self._clock() > gives_up_at:
                break
            fresh = self._model.vectors([batch[at] for at in unknown], max_tokens=TEXT_TOKENS)
            made = {names[at]: vector for at, vector in zip(unknown, fresh, strict=True)}
            found += [made[name] if name in made else self._kept[name] for name in names]
            self._keep(names, made)
        return found

    def _keep(self, names: Sequence[bytes], made: dict[bytes, Array]) -> None:
        with self._lock:
            self._kept.update(made)
            for name in names:
                self._kept.move_to_end(name)
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)


def _stretched(values: Array) -> Array:
    """From 0, the lowest, to 1, the highest."""
    if values.max() == values.min():
        return np.zeros(len(values), np.float32)
    found: Array = (values - values.min()) / (values.max() - values.min())
    return found
