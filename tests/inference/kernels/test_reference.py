"""The definitions of routing and latent attention against hand-worked cases and their equal forms."""

from dataclasses import replace

import torch

from inference.config import Experts, LatentAttention
from inference.kernels import reference

EXPERTS = Experts(
    num_experts=4,
    num_per_token=2,
    expert_size=8,
    shared_size=8,
    first_layer=1,
    layer_step=1,
    normalizes_weights=True,
    scaling_factor=2.5,
)
SCORES = torch.tensor([[0.9, 0.6, 0.5, 0.1]])


def test_the_bias_chooses_and_only_the_scores_weigh() -> None:
    weights, chosen = reference.route(SCORES.logit(), torch.tensor([0.0, 0.0, 0.0, 1.0]), EXPERTS)
    assert chosen.tolist() == [[3, 0]]
    torch.testing.assert_close(weights, torch.tensor([[0.25, 2.25]]))


def test_weights_stay_scores_where_they_are_not_normalized() -> None:
    plain = replace(EXPERTS, normalizes_weights=False)
    weights, chosen = reference.route(SCORES.logit(), torch.zeros(4), plain)
    assert chosen.tolist() == [[0, 1]]
    torch.testing.assert_close(weights, torch.tensor([[2.25, 1.5]]))


def test_only_experts_of_the_best_groups_are_chosen() -> None:
    grouped = replace(EXPERTS, num_groups=2, num_groups_chosen=1)
    scores = torch.tensor([[0.9, 0.1, 0.6, 0.55]])  # the second group's two together beat the first's
    _, chosen = reference.route(scores.logit(), torch.zeros(4), grouped)
    assert chosen.tolist() == [[2, 3]]


def test_latent_attention_equals_its_absorbed_form() -> None:
    sizes = LatentAttention(
        q_lora_rank=None, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=6
    )
    generator = torch.Generator().manual_seed(1)
    queries = torch.randn(3, 5, 12, generator=generator)
    latents = torch.randn(9, 20, generator=generator)
    kv_up = torch.randn(5 * 14, 16, generator=generator)
    plain = reference.latent_attention(queries, latents, kv_up, config=sizes, scale=0.3)
    key_up, value_up = kv_up.view(5, 14, 16).split([8, 6], dim=1)
    absorbed = torch.cat([torch.einsum("qhn,hnc->qhc", queries[..., :8], key_up), queries[..., 8:]], dim=2)
    gathered = reference.attention(absorbed, latents[None], latents[None, :, :16], scale=0.3)
    torch.testing.assert_close(plain, torch.einsum("qhc,hvc->qhv", gathered, value_up))
