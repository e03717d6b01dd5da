"""Text to token ids and back, as the model file itself says. torch is never imported here.

Control tokens come from `encode_prompt` alone, where the chat template put them: text is always only text.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Encoder
from tokenizers.models import BPE

from inference.checkpoints import gguf_file
from inference.checkpoints.gguf_file import BadModelFile
from inference.tokenizer.chat_template import ChatTemplate, Prompt

_CONTROL, _USER_DEFINED = 3, 4
_END_NAMES = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>")
_QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Tokenizer:
    """The tokenizer and the chat template of one model file."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        """Raises BadModelFile for a vocabulary that is not byte-level BPE or is split in an unknown way."""
        self._tokens: list[str] = metadata["tokenizer.ggml.tokens"]
        self._kinds: list[int] = metadata["tokenizer.ggml.token_type"]
        self._encoder = _encoder(metadata, self._tokens)
        self._control = {
            token: token_id
            for token_id, (token, kind) in enumerate(zip(self._tokens, self._kinds, strict=True))
            if kind in (_CONTROL, _USER_DEFINED)
        }
        self._bos_id: int | None = metadata.get("tokenizer.ggml.bos_token_id")
        self._adds_bos = bool(metadata.get("tokenizer.ggml.add_bos_token", False))
        self.stop_ids = self._stop_ids(metadata)
        self.template = ChatTemplate(
            metadata["tokenizer.chat_template"],
            control=self._control,
            bos=self._spelling(self._bos_id),
            eos=self._spelling(metadata.get("tokenizer.ggml.eos_token_id")),
        )

    @classmethod
    def from_gguf(cls, path: Path) -> "Tokenizer":
        """Raises BadModelFile, and OSError when there is no such file."""
        metadata = gguf_file.read(path).metadata
        try:
            return cls(metadata)
        except KeyError as error:
            raise BadModelFile(f"{path} does not say its {error.args[0]}.") from error

    @property
    def num_tokens(self) -> int:
        return len(self._tokens)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; a control token spelled out in it is text like any other."""
        ids: list[int] = self._encoder.encode(text, add_special_tokens=False).ids
        return ids

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        ids: list[int] = []
        for piece in prompt.pieces:
            ids += [self._control[piece.text]] if piece.is_control else self.encode(piece.text)
        if self._adds_bos and self._bos_id is not None and ids[:1] != [self._bos_id]:
            ids.insert(0, self._bos_id)
        return ids

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for: possibly a part of a character; none for a control token."""
        kind = self._kinds[token_id]
        if kind == _CONTROL:
            return b""
        token = self._tokens[token_id]
        if kind == _USER_DEFINED:
            return token.encode()
        return bytes(_BYTES[character] for character in token)

    def _stop_ids(self, metadata: Mapping[str, Any]) -> frozenset[int]:
        named = {self._control[name] for name in _END_NAMES if name in self._control}
        keys = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
        return frozenset(named | {metadata[key] for key in keys if key in metadata})

    def _spelling(self, token_id: int | None) -> str:
        return "" if token_id is None else self._tokens[token_id]


def _encoder(metadata: Mapping[str, Any], tokens: list[str]) -> Encoder:
    kind, split = metadata["tokenizer.ggml.model"], metadata.get("tokenizer.ggml.pre", "")
    if kind != "gpt2":
        raise BadModelFile(f"The vocabulary is of the kind {kind!r}; byte-level BPE (gpt2) can be read.")
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    encoder = Encoder(BPE(vocab={token: token_id for token_id, token in enumerate(tokens)}, merges=merges))
    if split == "qwen2":
        encoder.normalizer = normalizers.NFC()
        first: Any = pre_tokenizers.Split(Regex(_QWEN2_SPLIT), "isolated")
    elif split == "smollm":
        first = pre_tokenizers.Digits(individual_digits=True)
    else:
        raise BadModelFile(f"The vocabulary splits text in a way that is not known here: {split!r}.")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split == "smollm")
    encoder.pre_tokenizer = pre_tokenizers.Sequence([first, byte_level])
    return encoder


def _byte_alphabet() -> Iterable[tuple[str, int]]:
    """How GPT-2 writes bytes as characters: itself where printable, else the next free one from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    yield from ((chr(byte), byte) for byte in printable)
    yield from ((chr(256 + place), byte) for place, byte in enumerate(others))


_BYTES = dict(_byte_alphabet())
