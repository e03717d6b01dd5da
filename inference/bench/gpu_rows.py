"""The smaller kernels at K2's shapes, one line each, and a prompt's attention."""

from collections.abc import Callable, Iterator

import torch

from inference.bench.gpu_inputs import Draw
from inference.bench.gpu_timing import Limits, Stopwatch
from inference.bench.report import Figure
from inference.config import ModelConfig
from inference.kernels.gpu import routing
from inference.kernels.gpu.suite import Suite
from inference.model.kv_pool import BLOCK_TOKENS

_ROWS_PER_BLOCK = 16


def figures(
    config: ModelConfig,
    drawn: Draw,
    suite: Suite,
    watch: Stopwatch,
    limits: Limits,
    *,
    num_tokens: int,
    prompt: int,
) -> Iterator[Figure]:
    """Times of a decode step's `num_tokens` rows, and of a `prompt`'s attention in one layer."""
    for name, work in _works(config, drawn, suite, num_tokens).items():
        yield Figure(name=f"{name}, {num_tokens} tokens", value=watch.measure([work]) * 1e6, unit="us")
    sizes = config.latent
    assert sizes is not None
    queries = drawn.normal(prompt, config.num_heads, sizes.qk_head_dim)
    made = drawn.normal(prompt, config.num_heads, sizes.qk_nope_head_dim + sizes.v_head_dim)
    shared = drawn.normal(prompt, sizes.qk_rope_head_dim)

    def attend() -> object:
        return suite.prefill(
            queries, made, shared, start=0, first=0, nope=sizes.qk_nope_head_dim, scale=config.softmax_scale
        )

    seconds = watch.measure([attend])
    operations = prompt**2 * config.num_heads * (sizes.qk_head_dim + sizes.v_head_dim)  # causal: half
    name = f"prompt's attention, {prompt} tokens"
    yield Figure(name=name, value=seconds * 1e6, unit="us")
    share = operations / (limits.products * seconds)
    yield Figure(name=f"{name}: of the bf16 product rate", value=share, unit="")


def _works(
    config: ModelConfig, drawn: Draw, suite: Suite, num_tokens: int
) -> dict[str, Callable[[], object]]:
    sizes, experts = config.latent, config.experts
    assert sizes is not None
    assert experts is not None
    exact = torch.float32
    logits = drawn.normal(num_tokens, experts.num_experts, dtype=exact)
    bias = torch.zeros(experts.num_experts, device=drawn.device)
    _, chosen = suite.route(logits, bias, experts)
    hidden = drawn.normal(num_tokens, config.hidden_size, dtype=exact)
    added = drawn.normal(num_tokens, config.hidden_size)
    planes = torch.empty_like(added)
    queries = drawn.normal(num_tokens, config.num_heads, sizes.qk_head_dim)
    turning = queries[..., sizes.qk_nope_head_dim :]
    angles = drawn.normal(num_tokens, sizes.qk_rope_head_dim // 2, dtype=exact)
    cosines, sines = angles.cos(), angles.sin()
    latents = drawn.normal(num_tokens, sizes.cache_width)
    pool = drawn.normal(-(-num_tokens // BLOCK_TOKENS), BLOCK_TOKENS, sizes.cache_width)
    slots = torch.arange(num_tokens, device=drawn.device)
    vocabulary = drawn.normal(num_tokens, config.vocab_size, dtype=exact)
    norm, latent_norm = drawn.ones(config.hidden_size), drawn.ones(sizes.kv_lora_rank)
    return {
        "router's choice": lambda: suite.route(logits, bias, experts),
        "tokens gathered by expert": lambda: routing.gather_work(
            chosen, experts.num_experts, rows_per_block=_ROWS_PER_BLOCK
        ),
        "norm, added, in planes": lambda: suite.add_rms_norm(
            hidden, added, norm, config.rms_norm_eps, planes=planes
        ),
        "queries rotated": lambda: suite.rotate(turning, cosines, sines, turning),
        "latents normed, rotated, stored": lambda: suite.store_latents(
            latents, latent_norm, sizes.norm_eps, cosines, sines, slots, pool
        ),
        "likeliest token": lambda: suite.best_tokens(vocabulary),
    }
