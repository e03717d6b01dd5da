"""Latent attention beyond position 200,000 against transformers', over a cache filled by hand.

The same random latents lie in our pool and, their keys in transformers' order, in its cache; a run of tokens
and a single token then go on from there.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference.checkpoints import random_model
from inference.model import rope, sources
from inference.model.decoder import TorchDecoder
from inference.model.kv_pool import BLOCK_TOKENS, KVPool
from inference.model.latent import Form
from tests.inference.model import oracle
from tests.inference.model.driver import Driver

NUM_BEFORE = 200_000
NUM_BLOCKS = 50  # so many blocks, over and over, are what lies before
TOKEN_IDS = [5, 60, 300, 7, 411]
NUM_AT_ONCE = 4
# Measured: 0.0001 plain, 0.00001 absorbed, 0.017 against fp32 angles; the control 3.8.
ATOL = 5e-4
ATOL_OF_FP32_ANGLES = 0.05


def pool_of_random_latents(model: TorchDecoder) -> KVPool:
    """Sizes of latents after their norm, and keys large enough to be chosen from 200,000."""
    pool = KVPool(model.config, num_blocks=NUM_BLOCKS + 1, dtype=torch.float32)
    generator = torch.Generator().manual_seed(11)
    for layer in pool.layers:
        layer[:NUM_BLOCKS] = 2 * torch.randn(NUM_BLOCKS, *layer.shape[1:], generator=generator)
    return pool


def ours(folder: Path, forms: tuple[Form, Form]) -> tuple[Tensor, KVPool]:
    model = TorchDecoder(sources.open_parameters(folder), precision="fp32", latent_forms=forms)
    pool = pool_of_random_latents(model)
    before = [number % NUM_BLOCKS for number in range(NUM_BEFORE // BLOCK_TOKENS)]
    driver = Driver(model, num_tokens=0, pool=pool, block_ids=[*before, NUM_BLOCKS])
    driver.num_tokens = NUM_BEFORE
    rows = [driver.run(TOKEN_IDS[:NUM_AT_ONCE], num_logits=NUM_AT_ONCE)]
    rows += [driver.run([token_id]) for token_id in TOKEN_IDS[NUM_AT_ONCE:]]
    return torch.cat(rows), pool


@torch.inference_mode()
def theirs(model: Any, pool: KVPool) -> Tensor:
    import transformers

    cache = transformers.DynamicCache()
    for layer, pages in enumerate(pool.layers):
        latents = pages[:NUM_BLOCKS].flatten(0, 1).repeat(NUM_BEFORE // BLOCK_TOKENS // NUM_BLOCKS + 1, 1)
        latent, key = latents[:NUM_BEFORE].split_with_sizes([64, 32], dim=1)
        halves = torch.cat([key[:, 0::2], key[:, 1::2]], dim=1)
        cache.update(latent[None, None], halves[None, None], layer)
    logits: Tensor = model(torch.tensor([TOKEN_IDS]), past_key_values=cache).logits[0]
    return logits


def folder_with(tmp_path: Path, beta_fast: float) -> Path:
    yarn = {**random_model.K2_YARN, "beta_fast": beta_fast}
    config = random_model.k2_like(rope_scaling=yarn, num_hidden_layers=1)
    return random_model.write(tmp_path / f"beta-{beta_fast:g}", config, seed=3)


def test_logits_beyond_position_200000_equal_transformers(tmp_path: Path) -> None:
    answers = []
    for beta_fast in (1.0, 32.0):
        folder = folder_with(tmp_path, beta_fast)
        plain, pool = ours(folder, ("plain", "plain"))
        absorbed, _ = ours(folder, ("absorbed", "absorbed"))
        model = oracle.open_in_transformers(folder)
        # As it is, transformers rounds angles of 200,000 radians to fp32.
        torch.testing.assert_close(plain, theirs(model, pool), rtol=0, atol=ATOL_OF_FP32_ANGLES)
        oracle.take_exact_angles(model, rope.frequencies(sources.open_parameters(folder).config, None))
        exact = theirs(model, pool)
        torch.testing.assert_close(plain, exact, rtol=0, atol=ATOL)
        torch.testing.assert_close(absorbed, exact, rtol=0, atol=ATOL)
        answers.append(plain)
    # The control: rotation decides what is seen there, so the same weights answer otherwise under each beta.
    assert float((answers[0] - answers[1]).abs().max()) > 10 * ATOL_OF_FP32_ANGLES
