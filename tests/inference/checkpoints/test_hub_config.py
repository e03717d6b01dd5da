"""config.json: Kimi K2's as published, and what is refused."""

from typing import Any

import pytest

from inference.checkpoints import BadModelFile, hub_config, random_model
from inference.config import ModelConfig
from tests.inference.checkpoints.published import K2_THINKING, MOONLIGHT


def read(config: dict[str, Any]) -> ModelConfig:
    return hub_config.read(config, name="some-model")


def test_kimi_k2_is_read_as_published() -> None:
    config = read(K2_THINKING)
    assert (config.num_layers, config.num_heads, config.vocab_size) == (61, 64, 163840)
    assert config.max_context_tokens == 262144
    assert config.latent is not None
    assert (config.latent.q_lora_rank, config.latent.cache_width, config.latent.norm_eps) == (1536, 576, 1e-6)
    assert config.experts is not None
    assert (config.experts.num_experts, config.experts.shared_size) == (384, 2048)
    assert [config.experts.has(layer) for layer in (0, 1, 60)] == [False, True, True]
    assert config.yarn is not None
    assert (config.yarn.factor, config.yarn.beta_fast, config.yarn.rotation_magnitude) == (64.0, 1.0, 1.0)
    assert config.cache_values_per_token * 2 == 70_272


def test_moonlight_has_no_query_latent_and_no_yarn() -> None:
    config = read(MOONLIGHT)
    assert config.latent is not None
    assert config.latent.q_lora_rank is None
    assert config.yarn is None
    assert config.experts is not None
    assert config.experts.shared_size == 2 * 1408
    assert config.softmax_scale == pytest.approx(0.0721687836)


def test_the_layers_with_experts_are_those_that_the_step_divides() -> None:
    experts = read(random_model.k2_like(first_k_dense_replace=1, moe_layer_freq=2)).experts
    assert experts is not None
    assert [layer for layer in range(7) if experts.has(layer)] == [2, 4, 6]


def test_an_absent_beta_fast_is_the_paper_s_and_a_present_one_its_own() -> None:
    yarn = {key: value for key, value in random_model.K2_YARN.items() if key != "beta_fast"}
    for stretch, beta_fast in ((yarn, 32.0), ({**yarn, "beta_fast": 1.0}, 1.0)):
        config = read(random_model.k2_like(rope_scaling=stretch))
        assert config.yarn is not None
        assert config.yarn.beta_fast == beta_fast


def test_the_newer_spelling_of_rotary_keys_reads_the_same() -> None:
    old = random_model.k2_like()
    stretch = {**old["rope_scaling"], "rope_theta": old["rope_theta"], "rope_type": "yarn"}
    new = {key: value for key, value in old.items() if key not in ("rope_scaling", "rope_theta")}
    assert read({**new, "rope_parameters": stretch}) == read(old)


def test_the_language_part_of_a_larger_model_is_read() -> None:
    assert read({"model_type": "kimi_k25", "text_config": random_model.k2_like()}) == read(
        random_model.k2_like()
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model_type": "mamba"}, "'mamba'.*kimi_k2"),
        ({"hidden_size": None}, "hidden_size"),
        ({"kv_lora_rank": "wide"}, "kv_lora_rank"),
        ({"num_key_value_heads": "4"}, "num_key_value_heads"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"rope_theta": "5e4"}, "rope_theta"),
        ({"rope_scaling": ["yarn"]}, "rope_scaling"),
        ({"rope_scaling": {**random_model.K2_YARN, "beta_slow": 0}}, "betas are above 0"),
        ({"qk_rope_head_dim": 31}, "31 rotating dimensions make pairs"),
        ({"num_experts_per_tok": 17}, "17 experts are chosen"),
        ({"n_group": 3, "topk_group": 2}, "make 3 groups"),
        ({"n_group": 4, "topk_group": 5}, "5 of 4 groups"),
        ({"norm_topk_prob": None}, "norm_topk_prob"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"num_hidden_layers": 1 << 30}, "layers are 1000 at most"),
        ({"hidden_act": "gelu"}, "gelu.*silu"),
        ({"topk_method": "greedy"}, "greedy"),
        ({"attention_bias": True}, "attention_bias"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "dynamic.*yarn"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, "original_max_position_embeddings"),
    ],
)
def test_what_this_engine_does_not_compute_is_refused_by_name(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BadModelFile, match=words):
        read(random_model.k2_like(**changed))
