"""Latent attention of single tokens and of prompts against its plain form."""

import pytest
import torch
from torch import Tensor

from inference.config import LatentAttention
from inference.kernels import reference
from inference.kernels.gpu import attention, latent
from inference.kernels.gpu.tuning import AttentionConfig
from inference.model.kv_pool import BLOCK_TOKENS
from tests.inference.kernels.gpu import drawing

HEADS, RANK, ROPE, NOPE, VALUE = 5, 32, 16, 16, 32
SIZES = LatentAttention(
    q_lora_rank=None, kv_lora_rank=RANK, qk_nope_head_dim=NOPE, qk_rope_head_dim=ROPE, v_head_dim=VALUE
)
SCALE = 0.2


@pytest.fixture
def kv_up() -> Tensor:
    return (torch.randn(HEADS * (NOPE + VALUE), RANK) * 0.3).bfloat16()


@pytest.mark.parametrize(
    ("num_splits", "block_heads", "block_positions"), [(1, 16, 16), (3, 4, 32), (8, 8, 64)]
)
def test_decoding_over_scattered_pages_is_latent_attention(
    num_splits: int, block_heads: int, block_positions: int, kv_up: Tensor, device: torch.device
) -> None:
    pool = torch.randn(9, BLOCK_TOKENS, RANK + ROPE).bfloat16()
    tables = torch.tensor([[3, 1, 0, 7], [2, 0, 0, 0], [5, 6, 8, 4], [0, 0, 0, 0]], dtype=torch.int32)
    lengths = torch.tensor([150, 1, 256, 0], dtype=torch.int32)
    queries = torch.randn(4, HEADS, NOPE + ROPE).bfloat16()
    key_up, value_up = kv_up.view(HEADS, -1, RANK).double().split([NOPE, VALUE], dim=1)
    taken = torch.einsum("bhn,hnr->bhr", queries[..., :NOPE].double(), key_up)
    absorbed = torch.cat([taken, queries[..., NOPE:].double()], dim=2).bfloat16()

    gathered = latent.decode(
        absorbed.to(device),
        pool.to(device),
        tables.to(device),
        lengths.to(device),
        rank=RANK,
        scale=SCALE,
        config=AttentionConfig(block_heads, block_positions, num_splits, 4, 2),
    )

    attended = torch.einsum("bhr,hvr->bhv", gathered.cpu().double(), value_up)
    for sequence, length in enumerate(lengths.tolist()[:3]):
        seen = torch.cat([pool[block] for block in tables[sequence].tolist()])[:length]
        expected = reference.latent_attention(
            queries[sequence : sequence + 1], seen, kv_up, config=SIZES, scale=SCALE
        )[0]
        assert drawing.distance(attended[sequence], expected) < 1e-2
    assert not gathered[3].any()


def test_a_prompt_read_whole_or_in_runs_is_latent_attention(kv_up: Tensor, device: torch.device) -> None:
    num_positions, num_queries = 100, 37
    latents = torch.randn(num_positions, RANK + ROPE).bfloat16()
    queries = torch.randn(num_queries, HEADS, NOPE + ROPE).bfloat16()
    made = (latents[:, :RANK].double() @ kv_up.double().T).bfloat16().view(num_positions, HEADS, -1)
    expected = reference.latent_attention(queries, latents, kv_up, config=SIZES, scale=SCALE)

    def run(first: int, end: int) -> tuple[Tensor, Tensor]:
        return attention.prefill(
            queries.to(device),
            made[first:end].to(device),
            latents[first:end, RANK:].to(device),
            start=num_positions - num_queries,
            first=first,
            nope=NOPE,
            scale=SCALE,
            config=AttentionConfig(16, 32, 1, 4, 2),
        )

    whole, _ = run(0, num_positions)
    assert drawing.distance(whole, expected) < 1e-2
    # The last run is unseen by most queries.
    parts = attention.join([run(0, 40), run(40, 90), run(90, 100)])
    assert drawing.distance(parts, expected) < 1e-2
