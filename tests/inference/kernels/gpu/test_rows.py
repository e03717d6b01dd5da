"""Norms, rotations, latents in their slots and the best token against torch."""

import torch
from torch.nn import functional

from inference.kernels import reference
from inference.kernels.gpu import experts, rows
from inference.model.kv_pool import BLOCK_TOKENS
from tests.inference.kernels.gpu import drawing


def test_a_norm_adds_first_and_answers_in_both_orders(device: torch.device) -> None:
    hidden, added, weight = torch.randn(3, 48), torch.randn(3, 48).bfloat16(), torch.rand(48)
    kept, planes = hidden.to(device, copy=True), torch.full((3, 48), torch.nan).bfloat16().to(device)
    normed = rows.add_rms_norm(kept, added.to(device), weight.to(device), 1e-5, planes=planes)
    total = hidden + added.float()
    assert drawing.distance(kept, total) < 1e-7
    assert drawing.distance(normed, functional.rms_norm(total, (48,), weight, 1e-5)) < 6e-3
    assert experts.from_planes(planes).tolist() == normed.tolist()
    assert rows.add_rms_norm(kept, None, weight.to(device), 1e-5).tolist() == normed.tolist()


def test_a_rotation_turns_its_part_of_a_head_and_nothing_else(device: torch.device) -> None:
    queries, angles = torch.randn(3, 5, 40).bfloat16(), torch.rand(3, 8) * 6
    turned = queries.to(device, copy=True)
    rows.rotate(turned[..., 24:], angles.cos().to(device), angles.sin().to(device), turned[..., 24:])
    assert drawing.distance(turned[..., 24:], reference.rotate_pairs(queries[..., 24:], angles)) < 6e-3
    assert turned[..., :24].tolist() == queries[..., :24].tolist()


def test_latents_go_into_their_slots_alone(device: torch.device) -> None:
    rank, rope = 24, 16
    projected, weight = torch.randn(3, rank + rope).bfloat16(), torch.rand(rank)
    angles = torch.rand(3, rope // 2) * 6
    pool = torch.zeros(2, BLOCK_TOKENS, rank + rope, dtype=torch.bfloat16, device=device)
    slots = torch.tensor([3, -1, 70], device=device)
    rows.store_latents(
        projected.to(device),
        weight.to(device),
        1e-6,
        angles.cos().to(device),
        angles.sin().to(device),
        slots,
        pool,
    )
    normed = functional.rms_norm(projected[:, :rank].float(), (rank,), weight, 1e-6)
    keys = reference.rotate_pairs(projected[:, None, rank:], angles)[:, 0]
    expected = torch.zeros(2 * BLOCK_TOKENS, rank + rope)
    expected[3], expected[70] = torch.cat([normed, keys], dim=1)[[0, 2]]
    assert drawing.distance(pool.view(expected.shape), expected) < 6e-3
    assert pool.view(expected.shape).any(dim=1).nonzero().flatten().tolist() == [3, 70]


def test_the_best_token_is_the_first_of_equals(device: torch.device) -> None:
    logits = torch.randn(3, 9001) * 5
    logits[2, 17] = logits[2, 8999] = 100.0
    ids, log_sums = rows.best_tokens(logits.to(device))
    assert ids.tolist() == [*logits.argmax(dim=1)[:2].tolist(), 17]
    assert drawing.distance(log_sums, logits.double().logsumexp(dim=1)) < 1e-6
