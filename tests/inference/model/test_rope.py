"""Rotary frequencies and attention scales against numbers worked out by hand for Kimi's settings."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from inference.checkpoints import hub_config, random_model
from inference.config import ModelConfig
from inference.model import rope

PAIRS = (0, 1, 8, 9, 14, 19, 20, 31)
# YaRN with factor 64 over 64 dimensions of base 50,000: from 20 on every pair is slowed down in full.
SLOW = [1.80702339e-05, 4.38220646e-07]
FREQUENCIES = {
    1.0: [1, 0.713111085, 0.0668740305, 0.0476886124, 0.00879428677, 0.00162175991, *SLOW],
    32.0: [1, 0.713111085, 0.0668740305, 0.043776656, 0.00446584875, 0.000158374991, *SLOW],
}


def k2(**yarn: Any) -> ModelConfig:
    """Kimi K2's heads under a variant of its YaRN."""
    config = random_model.k2_like(
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        kv_lora_rank=512,
        rope_scaling={**random_model.K2_YARN, **yarn},
    )
    return hub_config.read(config, name="k2")


@pytest.mark.parametrize("beta_fast", FREQUENCIES)
def test_yarn_frequencies_are_those_published(beta_fast: float) -> None:
    computed = rope.frequencies(k2(beta_fast=beta_fast), None)[list(PAIRS)]
    expected = torch.tensor(FREQUENCIES[beta_fast], dtype=torch.float64)
    torch.testing.assert_close(computed, expected, rtol=1e-8, atol=0)


@pytest.mark.parametrize(
    ("factor", "magnitude", "scale"), [(32.0, 1.3465735903, 0.1308608), (64.0, 1.4158883083, 0.1446796258)]
)
def test_attention_scale_grows_with_yarn(factor: float, magnitude: float, scale: float) -> None:
    config = k2(factor=factor)
    assert config.yarn is not None
    assert config.yarn.magnitude(1.0) == pytest.approx(magnitude, rel=1e-9)
    assert config.softmax_scale == pytest.approx(scale, rel=1e-8)
    assert rope.magnitude(config) == 1.0
    assert replace(config, yarn=None).softmax_scale == pytest.approx(0.0721687836, rel=1e-8)


def test_sines_and_cosines_take_what_the_mscales_leave_over() -> None:
    assert rope.magnitude(k2(mscale=1.0, mscale_all_dim=0.0)) == pytest.approx(1.4158883083)
    assert rope.magnitude(k2(attention_factor=0.5)) == 0.5
    assert k2(mscale=1.0, mscale_all_dim=0.0).softmax_scale == pytest.approx(0.0721687836)


def test_rows_of_half_rotating_heads_come_into_the_order_of_neighbours() -> None:
    assert rope.interleaving_rows(2, 6).tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]
    assert rope.interleaving_tail_rows(2, 6, 4).tolist() == [0, 1, 2, 4, 3, 5, 6, 7, 8, 10, 9, 11]
