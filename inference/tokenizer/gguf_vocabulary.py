"""The vocabulary that a GGUF file carries in its metadata."""

from collections.abc import Mapping
from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Encoder
from tokenizers.models import BPE

from inference.checkpoints.gguf_file import BadModelFile
from inference.tokenizer import byte_level, split_patterns
from inference.tokenizer.vocabulary import Vocabulary, ends_among

_CONTROL, _USER_DEFINED = 3, 4
_SPLITS = {
    "qwen2": split_patterns.QWEN2,
    "llama-bpe": split_patterns.LLAMA3,
    "kimi-k2": split_patterns.KIMI,
}


def read(metadata: Mapping[str, Any]) -> Vocabulary:
    """Raises BadModelFile for a vocabulary that is not byte-level BPE or is split in an unknown way, and
    KeyError for one that lacks a field.
    """
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    kinds: list[int] = metadata["tokenizer.ggml.token_type"]
    encoder = _encoder(metadata, tokens)
    added = {
        token: token_id
        for token_id, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in (_CONTROL, _USER_DEFINED)
    }
    ends = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
    return Vocabulary(
        token_bytes=[_stands_for(token, kind) for token, kind in zip(tokens, kinds, strict=True)],
        encode=lambda text: list(encoder.encode(text, add_special_tokens=False).ids),
        added=added,
        hidden=frozenset(token_id for token_id in added.values() if kinds[token_id] == _CONTROL),
        stop_ids=frozenset(ends_among(added) | {metadata[key] for key in ends if key in metadata}),
        bos_id=metadata.get("tokenizer.ggml.bos_token_id"),
        eos_id=metadata.get("tokenizer.ggml.eos_token_id"),
        adds_bos=bool(metadata.get("tokenizer.ggml.add_bos_token", False)),
        chat_template=metadata.get("tokenizer.chat_template"),
    )


def _stands_for(token: str, kind: int) -> bytes:
    return token.encode() if kind in (_CONTROL, _USER_DEFINED) else byte_level.to_bytes(token)


def _encoder(metadata: Mapping[str, Any], tokens: list[str]) -> Encoder:
    kind, split = metadata["tokenizer.ggml.model"], metadata.get("tokenizer.ggml.pre", "")
    if kind != "gpt2":
        raise BadModelFile(f"The vocabulary is of the kind {kind!r}; byte-level BPE (gpt2) can be read.")
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    # Llama 3's vocabulary has whole words that its merges do not lead to.
    encoder = Encoder(BPE(vocab=vocabulary, merges=merges, ignore_merges=split == "llama-bpe"))
    if split in _SPLITS:
        first: Any = pre_tokenizers.Split(Regex(_SPLITS[split]), "isolated")
    elif split == "smollm":
        first = pre_tokenizers.Digits(individual_digits=True)
    else:
        raise BadModelFile(f"The vocabulary splits text in a way that is not known here: {split!r}.")
    if split == "qwen2":
        encoder.normalizer = normalizers.NFC()
    byte_pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split == "smollm")
    encoder.pre_tokenizer = pre_tokenizers.Sequence([first, byte_pieces])
    return encoder
