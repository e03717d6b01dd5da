"""What the engine is asked and what it answers: token ids and numbers, never text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

FinishReason = Literal["stop", "length", "error"]


class ConstraintFailed(Exception):
    """Raised by a TokenConstraint that cannot go on; its sequence ends with this text as its error."""


class TokenConstraint(Protocol):
    """What a sequence may say next: a grammar's state. Called from the engine's thread only."""

    @property
    def is_finished(self) -> bool:
        """Whether all is said: the sequence then ends with the reason "stop"."""
        ...

    def mask(self) -> NDArray[np.uint32] | None:
        """The allowed next tokens [ceil(vocab_size / 32)], lowest bit first; None: every token is.

        Tokens beyond its end are not allowed. A stop token is allowed as any other: by its bit.
        """
        ...

    def forced(self) -> list[int]:
        """The tokens that must come next, if there is only one way to go on; they are appended unsampled."""
        ...

    def accept(self, token_ids: list[int]) -> None:
        """Hear output tokens, each once and in order: sampled, forced by `forced` or by `Engine.force`.

        Stop tokens end the sequence and are not heard.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the next token is drawn. Temperature 0 takes the likeliest; top_k 0 and min_p 0 leave nothing out.

    Presence and frequency penalties count the output, the repetition penalty prompt and output. `logit_bias`
    is added to the logits of its token ids. With `num_logprobs` every token comes with its log probability
    and those of so many likeliest (0: its own only). With a seed the tokens of a sequence depend on it and
    the logits alone, whatever else runs beside it.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    num_logprobs: int | None = None
    seed: int | None = None


@dataclass(eq=False)
class Sequence:
    """A prompt and what is asked of the model for it.

    salt         divides the prefix cache: only sequences of one salt share computed prompts
    constraint   what the output may be; its state belongs to this sequence alone
    priority     the higher runs first, and may take the memory of lower ones
    deadline_at  on the engine's clock (time.monotonic); a sequence not finished by then ends with `error`
    tenant       who shares the engine fairly with the others; the salt, when it is empty
    """

    id: str
    prompt_ids: list[int]
    sampling: SamplingParams
    max_tokens: int
    stop_ids: frozenset[int] = frozenset()
    salt: str = ""
    constraint: TokenConstraint | None = None
    priority: int = 0
    deadline_at: float | None = None
    tenant: str = ""


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """How likely the model held a token, by its logits as they were before temperature, penalties, bias and
    constraint; `top` are the likeliest tokens with theirs, in falling order. A forced token's is 0: certain.
    """

    logprob: float
    top: list[tuple[int, float]]


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """New tokens of one sequence, in order. The last output of a sequence carries a finish reason.

    A stop token ends the sequence and is not among `token_ids`. `num_cached_tokens` counts the prompt tokens
    that were found computed; it is the same in every output of a sequence. `logprobs` has one entry for each
    of `token_ids` where they were asked for, else none.
    """

    sequence_id: str
    token_ids: list[int]
    finish_reason: FinishReason | None
    num_cached_tokens: int
    error: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
