"""The device's decoder against torch's fp32 one: on a GPU if there is one, else interpreted."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed")

from inference.gpu import weights
from inference.gpu.decoder import GpuDecoder
from inference.gpu.weights import UnsupportedModel
from inference.kernels.gpu import suite
from inference.kernels.gpu.suite import Suite
from inference.model.decoder import TorchDecoder
from inference.model.kv_pool import KVPool
from inference.native.sample_decoders import VOCAB_SIZE, RandomParameters
from tests.inference.model.driver import Driver

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
IDS = torch.randint(8, VOCAB_SIZE, (75,), generator=torch.Generator().manual_seed(7)).tolist()


@cache
def ours(architecture: str) -> GpuDecoder:
    source = RandomParameters(architecture, format="INT4_G32")
    share = weights.load(source, device=DEVICE)
    return GpuDecoder(share, max_context_tokens=512, kernels=Suite(suite.device_name(DEVICE)))


@cache
def theirs(architecture: str) -> TorchDecoder:
    return TorchDecoder(RandomParameters(architecture, format="INT4_G32"), precision="fp32")


def driver(model: GpuDecoder | TorchDecoder, num_tokens: int) -> Driver:
    if isinstance(model, TorchDecoder):
        return Driver(model, num_tokens=num_tokens)
    pool = KVPool(model.config, num_blocks=8, dtype=torch.bfloat16, device=DEVICE)
    return Driver(model, num_tokens=num_tokens, pool=pool)


def divergence(ours: Tensor, theirs: Tensor) -> float:
    """Mean KL in nats."""
    theirs, ours = theirs.log_softmax(1), ours.log_softmax(1)
    return float((theirs.exp() * (theirs - ours)).sum(1).mean())


@pytest.mark.parametrize("architecture", ["moonlight", "kimi_k2", "llama", "qwen2", "qwen3"])
def test_prompts_and_single_tokens_stay_near_the_reference(architecture: str) -> None:
    """bf16 against fp32; where an expert is chosen by a near tie, rounding changes the whole row."""
    expected = driver(theirs(architecture), 75).run(IDS, num_logits=75)
    one = driver(ours(architecture), 75)
    found = [one.run(IDS[:66], num_logits=66), one.run(IDS[66:72], num_logits=6)]
    found += [one.run([token]) for token in IDS[72:]]
    assert divergence(torch.cat(found), expected) < 0.02
    agreeing = torch.cat(found).argmax(1) == expected.argmax(1)
    assert float(agreeing.float().mean()) >= 0.9


def test_sequences_of_one_call_are_as_each_alone() -> None:
    """Three single tokens fill a bucket of four; a prompt is computed beside them."""
    model = ours("moonlight")
    pool = KVPool(model.config, num_blocks=8, dtype=torch.bfloat16, device=DEVICE)
    lengths = (66, 5, 9)
    together = [Driver(model, num_tokens=80, pool=pool, block_ids=[2 * n, 2 * n + 1]) for n in range(3)]
    alone = [driver(model, 80) for _ in lengths]
    for one, other, length in zip(together, alone, lengths, strict=True):
        one.run(IDS[:length])
        other.run(IDS[:length])
    fresh = Driver(model, num_tokens=20, pool=pool, block_ids=[7])
    spans = [*(one.span(1) for one in together), fresh.span(9, num_logits=2)]
    found = model.forward([*IDS[:3], *IDS[:9]], spans, pool)
    expected = [other.run([token]) for other, token in zip(alone, IDS[:3], strict=True)]
    expected.append(driver(model, 20).run(IDS[:9], num_logits=2))
    assert found.shape == (5, VOCAB_SIZE)
    assert divergence(found, torch.cat(expected)) < 1e-3


def test_the_middle_of_a_prompt_answers_with_nothing() -> None:
    assert driver(ours("moonlight"), 20).run(IDS[:9], num_logits=0).shape == (0, VOCAB_SIZE)


def test_what_the_kernels_do_not_compute_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="its experts are stored as F32"):
        weights.load(RandomParameters("moonlight", format="F32"), device=DEVICE)
    odd = RandomParameters("llama")
    odd.config = replace(odd.config, head_dim=80)
    with pytest.raises(UnsupportedModel, match="head_dim is 80, not a power of two"):
        weights.load(odd, device=DEVICE)
