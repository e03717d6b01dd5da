"""What the engine is asked and what it answers: token ids and numbers, never text."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from inference.model.kv_cache import KVCache

FinishReason = Literal["stop", "length", "error"]


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the next token is drawn. Temperature 0 takes the likeliest; top_k 0 and min_p 0 leave nothing out.

    With a seed the tokens of a sequence depend on it and the logits alone, whatever else runs beside it.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None


@dataclass(eq=False)
class Sequence:
    """A prompt and what was generated for it. The first six fields are the request; the engine owns the rest.

    `salt` divides the prefix cache: only sequences of one salt share computed prompts.
    """

    id: str
    prompt_ids: list[int]
    sampling: SamplingParams
    max_tokens: int
    stop_ids: frozenset[int] = frozenset()
    salt: str = ""

    token_ids: list[int] = field(init=False)
    forced_ids: deque[int] = field(init=False, default_factory=deque)
    cache: KVCache | None = field(init=False, default=None)
    seed: int = field(init=False, default=0)
    num_cached_tokens: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.token_ids = list(self.prompt_ids)

    @property
    def output_ids(self) -> list[int]:
        return self.token_ids[len(self.prompt_ids) :]

    @property
    def num_output_tokens(self) -> int:
        return len(self.token_ids) - len(self.prompt_ids)

    @property
    def num_uncomputed(self) -> int:
        """Tokens whose keys and values are still missing; one is left when the next token can be drawn."""
        return len(self.token_ids) - (self.cache.num_tokens if self.cache else 0)


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """New tokens of one sequence, in order. The last output of a sequence carries a finish reason.

    A stop token ends the sequence and is not among `token_ids`. `num_cached_tokens` counts the prompt tokens
    that were found computed; it is the same in every output of a sequence.
    """

    sequence_id: str
    token_ids: list[int]
    finish_reason: FinishReason | None
    num_cached_tokens: int
    error: str = ""
