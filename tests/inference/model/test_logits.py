"""Our logits against transformers' on the same weights, dequantised by the gguf library.

fp32 must agree to rounding. INT4 computes with bf16 activations, an 8-bit head and 8-bit copies of Q6_K
matrices; what that may cost is tabled here.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from inference.model import sources
from inference.model.decoder import TorchDecoder
from inference.model.packing import Precision
from tests.inference import model_files, tiny_model
from tests.inference.model.driver import Driver

# "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\nThe capital of France is
# Paris. It is the largest city in the country, and it lies on the river Seine.<|im_end|>\n", as SmolLM2
# encodes it.
SMOLLM2_IDS = [
    1,
    4093,
    198,
    1780,
    314,
    260,
    3575,
    282,
    4649,
    47,
    2,
    198,
    1,
    520,
    9531,
    198,
    504,
    3575,
    282,
    4649,
]
SMOLLM2_IDS += [
    314,
    7042,
    30,
    657,
    314,
    260,
    3995,
    2240,
    281,
    260,
    1798,
    28,
    284,
    357,
    5721,
    335,
    260,
    4626,
    1268,
]
SMOLLM2_IDS += [462, 30, 2, 198]

# The least share of positions with the same likeliest token, and the greatest mean KL divergence in nats.
# Measured: smollm2 1.00 and 0.0003, tiny 0.94 and 0.0003 (random weights: near ties are common).
INT4_TOLERANCES = {"smollm2": (0.95, 0.001), "tiny": (0.85, 0.001)}


def our_logits(path: Path, precision: Precision, token_ids: list[int], *, num_prefilled: int) -> Tensor:
    """Logits behind every position from `num_prefilled` on: a prefill, then token by token."""
    model = TorchDecoder(sources.open_parameters(path), precision=precision)
    sequence = Driver(model, num_tokens=len(token_ids))
    rows = [sequence.run(token_ids[:num_prefilled])]
    rows += [sequence.run([token_id]) for token_id in token_ids[num_prefilled:]]
    return torch.cat(rows)


@torch.inference_mode()
def their_logits(path: Path, token_ids: list[int], *, num_prefilled: int) -> Tensor:
    model = tiny_model.in_transformers(path)
    logits: Tensor = model(torch.tensor([list(token_ids)])).logits[0, num_prefilled - 1 :]
    return logits


def assert_close_enough(ours: Tensor, theirs: Tensor, *, least_agreement: float, greatest_kl: float) -> None:
    agreement = float((ours.argmax(1) == theirs.argmax(1)).float().mean())
    theirs, ours = theirs.log_softmax(1), ours.log_softmax(1)
    divergence = float((theirs.exp() * (theirs - ours)).sum(1).mean())
    assert agreement >= least_agreement
    assert divergence <= greatest_kl


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_a_small_model_agrees_with_transformers(tmp_path: Path, architecture: str) -> None:
    path = tiny_model.write(tmp_path / "tiny.gguf", architecture=architecture)
    token_ids = torch.randint(8, 512, (90,), generator=torch.Generator().manual_seed(7)).tolist()
    theirs = their_logits(path, token_ids, num_prefilled=40)
    fp32 = our_logits(path, "fp32", token_ids, num_prefilled=40)
    torch.testing.assert_close(fp32, theirs, rtol=1e-4, atol=1e-4)
    agreement, divergence = INT4_TOLERANCES["tiny"]
    int4 = our_logits(path, "int4", token_ids, num_prefilled=40)
    assert_close_enough(int4, theirs, least_agreement=agreement, greatest_kl=divergence)


def test_smollm2_agrees_with_transformers() -> None:
    path = model_files.smollm2()
    theirs = their_logits(path, SMOLLM2_IDS, num_prefilled=12)
    fp32 = our_logits(path, "fp32", SMOLLM2_IDS, num_prefilled=12)
    torch.testing.assert_close(fp32, theirs, rtol=1e-4, atol=5e-4)
    agreement, divergence = INT4_TOLERANCES["smollm2"]
    int4 = our_logits(path, "int4", SMOLLM2_IDS, num_prefilled=12)
    assert_close_enough(int4, theirs, least_agreement=agreement, greatest_kl=divergence)
    dense = our_logits(path, "bf16", SMOLLM2_IDS, num_prefilled=12)
    assert_close_enough(dense, theirs, least_agreement=agreement, greatest_kl=divergence)
