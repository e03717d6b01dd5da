"""Text to token ids and back, as the model's own files say. torch is never imported here.

Control tokens come from `encode_prompt` and `encode_trusted` alone, where our own words and the chat
template put them: text is always only text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.checkpoints import gguf_file
from inference.checkpoints.gguf_file import BadModelFile
from inference.tokenizer import folder_vocabulary, gguf_vocabulary, marks, shipped_templates
from inference.tokenizer.chat_template import ChatTemplate, Prompt, TemplateRefused
from inference.tokenizer.vocabulary import Vocabulary


class Tokenizer:
    """The tokenizer and the chat template of one model."""

    def __init__(self, vocabulary: Vocabulary, *, model_type: str = "") -> None:
        """`model_type` is config.json's; it helps to choose a template where the checkpoint brings none.

        Raises BadModelFile when no template fits or no token ends an answer, and TemplateRefused for a
        template that is broken.
        """
        self._vocabulary = vocabulary
        self.stop_ids = vocabulary.stop_ids
        self.marks, self.mark_signs = marks.of(vocabulary.added)
        is_kimi_style = marks.SPELLED.call_begin in vocabulary.added
        self.call_style = marks.CallStyle.KIMI if is_kimi_style else marks.CallStyle.JSON
        source = vocabulary.chat_template
        self.template = ChatTemplate(
            source if source is not None else shipped_templates.choose(vocabulary.added, model_type),
            control=vocabulary.added,
            bos=vocabulary.spelling(vocabulary.bos_id),
            eos=vocabulary.spelling(vocabulary.eos_id),
            is_kimi=shipped_templates.KIMI_MARK in vocabulary.added,
        )
        if not self.stop_ids:
            raise BadModelFile(
                "The model names no token that ends an answer: put eos_token_id into generation_config.json."
            )

    @classmethod
    def open(cls, path: Path) -> "Tokenizer":
        """Of a GGUF file or a checkpoint's folder. Raises BadModelFile, and OSError for what is not there."""
        try:
            if path.is_dir():
                return cls._from_folder(path)
            return cls.from_metadata(gguf_file.read(path).metadata)
        except KeyError as error:
            raise BadModelFile(f"{path} does not say its {error.args[0]}: fetch it again.") from error
        except TemplateRefused as error:
            raise BadModelFile(
                f"{path}: {error} Put a chat_template.jinja that works in its place."
            ) from error
        # Fields of another kind than they must be: a list for a number, a text for a table.
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise BadModelFile(f"{path} holds a damaged vocabulary ({error}): fetch it again.") from error

    @classmethod
    def _from_folder(cls, path: Path) -> "Tokenizer":
        config = folder_vocabulary.settings(path, "config.json")
        return cls(folder_vocabulary.read(path), model_type=str(config.get("model_type", "")))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "Tokenizer":
        """Of a GGUF file's fields. Raises BadModelFile, and KeyError for a field that is missing."""
        architecture = str(metadata.get("general.architecture", ""))
        return cls(gguf_vocabulary.read(metadata), model_type=architecture)

    @property
    def num_tokens(self) -> int:
        return len(self._vocabulary.token_bytes)

    @property
    def token_bytes(self) -> Sequence[bytes]:
        """By id, the bytes that a token stands for, possibly a part of a character; a control token's
        spelling.
        """
        return self._vocabulary.token_bytes

    @property
    def added(self) -> Mapping[str, int]:
        """The tokens that no text encodes to, by their spelling."""
        return self._vocabulary.added

    def bytes_of(self, token_id: int) -> bytes:
        """Those of `token_bytes`; none for an id beyond: a model may have more rows of logits than tokens."""
        return self._vocabulary.token_bytes[token_id] if token_id < self.num_tokens else b""

    def shown_bytes(self, token_id: int) -> bytes:
        """What a token leaves in decoded text: nothing, for a control token."""
        return b"" if token_id in self._vocabulary.hidden else self.bytes_of(token_id)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; a control token spelled out in it is text like any other."""
        return self._vocabulary.encode(text)

    def encode_trusted(self, text: str) -> list[int]:
        """Ids of our own text, in which a control token's spelling is that token."""
        return self._encode_pieces(self.template.pieces(text))

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        ids = self._encode_pieces(prompt)
        bos_id = self._vocabulary.bos_id
        if self._vocabulary.adds_bos and bos_id is not None and ids[:1] != [bos_id]:
            ids.insert(0, bos_id)
        return ids

    def _encode_pieces(self, prompt: Prompt) -> list[int]:
        ids: list[int] = []
        for piece in prompt.pieces:
            ids += [self._vocabulary.added[piece.text]] if piece.is_control else self.encode(piece.text)
        return ids
