"""The vocabulary of a checkpoint folder: `tiktoken.model` or `tokenizer.json`, and the files beside them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Encoder

from inference.checkpoints.gguf_file import BadModelFile
from inference.tokenizer import byte_level, rank_vocabulary
from inference.tokenizer.vocabulary import Vocabulary, ends_among


def read(folder: Path) -> Vocabulary:
    """Raises BadModelFile for a folder without a vocabulary that can be read."""
    if (folder / "tokenizer.json").is_file():
        return _from_json(folder)
    if (folder / "tiktoken.model").is_file():
        return _from_ranks(folder)
    raise BadModelFile(
        f"{folder} holds no tokenizer.json and no tiktoken.model: fetch one beside the weights."
    )


def settings(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of the folder; empty where there is none. Raises BadModelFile for one that is no object."""
    path = folder / name
    if not path.is_file():
        return {}
    try:
        written = json.loads(path.read_bytes())
    except ValueError as error:
        raise BadModelFile(f"{name} is no JSON: {error}") from error
    if not isinstance(written, dict):
        raise BadModelFile(f"{name} holds no JSON object.")
    return written


def _from_ranks(folder: Path) -> Vocabulary:
    ranked = rank_vocabulary.read(folder / "tiktoken.model")
    written = settings(folder, "tokenizer_config.json")
    named = {int(number): entry for number, entry in written.get("added_tokens_decoder", {}).items()}
    if not named:
        raise BadModelFile(
            "tokenizer_config.json with `added_tokens_decoder` is missing beside tiktoken.model."
        )
    num_tokens = len(ranked) + rank_vocabulary.NUM_RESERVED
    if not all(len(ranked) <= token_id < num_tokens for token_id in named):
        raise BadModelFile(
            "tokenizer_config.json names special tokens outside the vocabulary's reserved ids."
        )
    reserved = [
        named[token_id]["content"] if token_id in named else f"<|reserved_token_{token_id}|>"
        for token_id in range(len(ranked), num_tokens)
    ]
    added = {spelling: len(ranked) + place for place, spelling in enumerate(reserved)}
    shown = {token_id for token_id, entry in named.items() if not entry.get("special", True)}
    return _vocabulary(
        folder,
        token_bytes=[*ranked, *(spelling.encode() for spelling in reserved)],
        encode=rank_vocabulary.encoder(ranked),
        added=added,
        hidden=frozenset(added.values()) - shown,
    )


def _from_json(folder: Path) -> Vocabulary:
    written = settings(folder, "tokenizer.json")
    _check_is_byte_level(written)
    entries = written.get("added_tokens", [])
    added: dict[str, int] = {entry["content"]: entry["id"] for entry in entries}
    # Without its added tokens the encoder takes their spellings for the text that they are.
    plain = written | {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    try:
        encoder = Encoder.from_str(json.dumps(plain))
    except Exception as error:  # the library raises bare Exceptions of its Rust side
        raise BadModelFile(f"tokenizer.json cannot be read: {error}") from error
    vocabulary: dict[str, int] = written["model"]["vocab"]
    token_bytes = [b""] * (max([*vocabulary.values(), *added.values()]) + 1)
    for token, token_id in vocabulary.items():
        if token not in added:
            token_bytes[token_id] = byte_level.to_bytes(token)
    for spelling, token_id in added.items():
        token_bytes[token_id] = spelling.encode()
    return _vocabulary(
        folder,
        token_bytes=token_bytes,
        encode=lambda text: list(encoder.encode(text, add_special_tokens=False).ids),
        added=added,
        hidden=frozenset(entry["id"] for entry in entries if entry.get("special")),
    )


def _check_is_byte_level(written: Mapping[str, Any]) -> None:
    kind = written.get("model", {}).get("type")
    if kind not in (None, "BPE") or '"ByteLevel"' not in json.dumps(written.get("decoder")):
        raise BadModelFile(f"tokenizer.json holds a {kind} model; byte-level BPE can be read.")


def _vocabulary(folder: Path, *, added: Mapping[str, int], **facts: Any) -> Vocabulary:
    written = settings(folder, "tokenizer_config.json")
    eos_id = added.get(_spelling(written.get("eos_token")))
    ends = {eos_id} if eos_id is not None else set()
    for name in ("config.json", "generation_config.json"):
        ends |= _ids(settings(folder, name).get("eos_token_id"))
    return Vocabulary(
        added=added,
        stop_ids=frozenset(ends | ends_among(added)),
        bos_id=added.get(_spelling(written.get("bos_token"))),
        eos_id=eos_id,
        adds_bos=bool(written.get("add_bos_token", False)),
        chat_template=_chat_template(folder, written),
        **facts,
    )


def _spelling(token: Any) -> str:
    """Some files write a token as its text, some as an object."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _ids(written: Any) -> set[int]:
    if written is None:
        return set()
    return set(written) if isinstance(written, list) else {int(written)}


def _chat_template(folder: Path, written: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text()
    template = written.get("chat_template")
    if isinstance(template, list):  # several by name
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    return template if isinstance(template, str) else None
