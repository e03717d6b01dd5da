"""The next token from logits: a pure function of logits, parameters, seed and position."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inference.engine.sequence import SamplingParams

# Tokens less likely than this are rarely reached; sorting a whole vocabulary costs more than the rest of
# sampling.
_CANDIDATE_PROBABILITY = 1e-5


def sample(
    logits: Tensor, params: SamplingParams, *, seed: int, position: int, output_ids: Sequence[int]
) -> int:
    """Draw one token from finite logits, fp32 [vocab_size]; `output_ids` are what the penalties count."""
    logits = _penalised(logits, params, output_ids)
    if params.temperature <= 0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits / params.temperature, dim=-1)
    uniform = _uniform(seed, position)
    if params.top_k <= 0 and params.top_p >= 1 and params.min_p <= 0:
        return _draw(probabilities, uniform)
    kept, token_ids = _ranked(probabilities, params)
    return int(token_ids[_draw(kept[: _num_kept(kept, params)], uniform)])


def _penalised(logits: Tensor, params: SamplingParams, output_ids: Sequence[int]) -> Tensor:
    """OpenAI's penalties: presence once, frequency per occurrence, over the generated tokens."""
    if not output_ids or (params.presence_penalty == 0 and params.frequency_penalty == 0):
        return logits
    counts = Counter(output_ids)
    token_ids = torch.tensor(list(counts))
    occurrences = torch.tensor(list(counts.values()), dtype=torch.float32)
    penalised = logits.clone()
    penalised[token_ids] -= params.presence_penalty + params.frequency_penalty * occurrences
    return penalised


def _ranked(probabilities: Tensor, params: SamplingParams) -> tuple[Tensor, Tensor]:
    """Probabilities from the likeliest down with their token ids: all that the filters can keep, at least."""
    candidates = (probabilities >= _CANDIDATE_PROBABILITY).nonzero()[:, 0]
    likely = probabilities[candidates]
    holds_top_k = 0 < params.top_k <= len(likely)
    holds_top_p = params.top_p < 1 and float(likely.sum()) >= params.top_p
    holds_min_p = params.min_p * float(probabilities.max()) >= _CANDIDATE_PROBABILITY
    if not (holds_top_k or holds_top_p or holds_min_p):
        candidates, likely = torch.arange(len(probabilities)), probabilities
    ranked, order = likely.sort(descending=True, stable=True)
    return ranked, candidates[order]


def _num_kept(ranked: Tensor, params: SamplingParams) -> int:
    """How many of the likeliest pass every filter; one at least."""
    num_kept = min(params.top_k, len(ranked)) if params.top_k > 0 else len(ranked)
    if params.min_p > 0:
        num_kept = min(num_kept, int((ranked >= params.min_p * ranked[0]).sum()))
    if params.top_p < 1:
        # The token that carries the sum over top_p belongs to the nucleus.
        num_kept = min(num_kept, int((ranked.cumsum(0) < params.top_p).sum()) + 1)
    return max(num_kept, 1)


def _draw(weights: Tensor, uniform: float) -> int:
    """The index at which the running sum of `weights` passes the share `uniform` of their total."""
    running = weights.double().cumsum(0)
    index = int(torch.searchsorted(running, uniform * float(running[-1]), right=True))
    return min(index, len(weights) - 1)


def _uniform(seed: int, position: int) -> float:
    """A number in [0, 1) for this seed and position, the same in any batch, order or process."""
    return float(np.random.Generator(np.random.Philox(key=seed, counter=position)).random())
