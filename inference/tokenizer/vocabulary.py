"""A vocabulary as some file gives it: what each token stands for, and how plain text is cut into tokens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """`encode` gives ids of plain text and never one of the `added` tokens.

    token_bytes  by id, the bytes that a token stands for; a token that is added stands for its spelling
    added        the tokens that only a template may set, by their spelling
    hidden       those of the added tokens that leave nothing in decoded text
    """

    token_bytes: Sequence[bytes]
    encode: Callable[[str], list[int]]
    added: Mapping[str, int]
    hidden: frozenset[int]
    stop_ids: frozenset[int]
    bos_id: int | None = None
    eos_id: int | None = None
    adds_bos: bool = False
    chat_template: str | None = None

    def spelling(self, token_id: int | None) -> str:
        return "" if token_id is None else self.token_bytes[token_id].decode(errors="replace")


# Tokens that end an answer whatever else a checkpoint names.
END_NAMES = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>", "[EOS]")


def ends_among(added: Mapping[str, int]) -> set[int]:
    return {added[name] for name in END_NAMES if name in added}
