"""What happens to single rows between the products: norms, rotations, latents, the best token."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_LOGITS_AT_ONCE = 4096


def add_rms_norm(
    hidden: Tensor, added: Tensor | None, weight: Tensor, eps: float, *, planes: Tensor | None = None
) -> Tensor:
    """RMS norm of hidden + added, which `hidden` is set to.

    hidden   fp32 [num_tokens, size]
    added    fp32 or bf16, the same shape
    weight   fp32 [size]
    planes   bf16 [num_tokens, size] to be filled with the result in plane order (`experts`)
    returns  bf16 [num_tokens, size]
    """
    num_tokens, size = hidden.shape
    normed = torch.empty(hidden.shape, dtype=torch.bfloat16, device=hidden.device)
    _add_rms_norm[(num_tokens,)](
        hidden,
        hidden if added is None else added,
        weight,
        normed,
        normed if planes is None else planes,
        size,
        eps,
        HAS_ADDED=added is not None,
        HAS_PLANES=planes is not None,
        BLOCK=triton.next_power_of_2(size),
        num_warps=8 if size > 2048 else 4,
    )
    return normed


@triton.jit
def _add_rms_norm(
    hidden, added, weight, normed, planes, size, eps,
    HAS_ADDED: tl.constexpr, HAS_PLANES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * size
    at = tl.arange(0, BLOCK)
    inside = at < size
    value = tl.load(hidden + row + at, mask=inside, other=0.0)
    if HAS_ADDED:
        value += tl.load(added + row + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(hidden + row + at, value, mask=inside)
    scale = tl.rsqrt(tl.sum(value * value, axis=0) / size + eps)
    result = (value * scale * tl.load(weight + at, mask=inside, other=0.0)).to(tl.bfloat16)
    tl.store(normed + row + at, result, mask=inside)
    if HAS_PLANES:
        tl.store(planes + row + (at % 8) * (size // 8) + at // 8, result, mask=inside)


def rotate(x: Tensor, cosines: Tensor, sines: Tensor, out: Tensor) -> None:
    """As `reference.rotate_pairs`, into `out`, which may be x itself.

    x, out           bf16 [num_tokens, num_heads, rope_dim]; may be parts of wider rows
    cosines, sines   fp32 [num_tokens, rope_dim // 2]
    """
    num_tokens, num_heads, rope_dim = x.shape
    assert x.stride(2) == out.stride(2) == 1
    _rotate[(num_tokens,)](
        x,
        cosines,
        sines,
        out,
        num_heads,
        x.stride(0),
        x.stride(1),
        out.stride(0),
        out.stride(1),
        PAIRS=rope_dim // 2,
        HEADS=triton.next_power_of_2(num_heads),
    )


@triton.jit
def _rotate(
    x, cosines, sines, out, num_heads, x_token, x_head, out_token, out_head,
    PAIRS: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    heads = tl.arange(0, HEADS)[:, None]
    pairs = tl.arange(0, PAIRS)
    inside = heads < num_heads
    source = x + token * x_token + heads * x_head + 2 * pairs[None, :]
    even = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    odd = tl.load(source + 1, mask=inside, other=0.0).to(tl.float32)
    cosine = tl.load(cosines + token * PAIRS + pairs)[None, :]
    sine = tl.load(sines + token * PAIRS + pairs)[None, :]
    target = out + token * out_token + heads * out_head + 2 * pairs[None, :]
    tl.store(target, (even * cosine - odd * sine).to(out.dtype.element_ty), mask=inside)
    tl.store(target + 1, (even * sine + odd * cosine).to(out.dtype.element_ty), mask=inside)


def store_latents(
    projected: Tensor, weight: Tensor, eps: float, cosines: Tensor, sines: Tensor, slots: Tensor, pool: Tensor
) -> None:
    """Norm each token's latent, rotate its shared key, and write both into a layer of the pool.

    projected       bf16 [num_tokens, kv_lora_rank + rope_dim]
    weight          fp32 [kv_lora_rank]
    cosines, sines  fp32 [num_tokens, rope_dim // 2]
    slots           int64 [num_tokens]: block * page + place in it; a negative one writes nothing
    pool            bf16 [num_blocks, page, kv_lora_rank + rope_dim]
    """
    rank = weight.shape[0]
    assert pool.is_contiguous()
    _store_latents[(projected.shape[0],)](
        projected,
        weight,
        cosines,
        sines,
        slots,
        pool,
        eps,
        RANK=rank,
        RANK_BLOCK=triton.next_power_of_2(rank),
        PAIRS=(projected.shape[1] - rank) // 2,
    )


@triton.jit
def _store_latents(
    projected, weight, cosines, sines, slots, pool, eps,
    RANK: tl.constexpr, RANK_BLOCK: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + token)
    if slot >= 0:
        WIDTH: tl.constexpr = RANK + 2 * PAIRS
        at = tl.arange(0, RANK_BLOCK)
        inside = at < RANK
        latent = tl.load(projected + token * WIDTH + at, mask=inside, other=0.0).to(tl.float32)
        scale = tl.rsqrt(tl.sum(latent * latent, axis=0) / RANK + eps)
        normed = latent * scale * tl.load(weight + at, mask=inside, other=0.0)
        tl.store(pool + slot * WIDTH + at, normed.to(pool.dtype.element_ty), mask=inside)
        pairs = tl.arange(0, PAIRS)
        key = projected + token * WIDTH + RANK + 2 * pairs
        even, odd = tl.load(key).to(tl.float32), tl.load(key + 1).to(tl.float32)
        cosine, sine = tl.load(cosines + token * PAIRS + pairs), tl.load(sines + token * PAIRS + pairs)
        target = pool + slot * WIDTH + RANK + 2 * pairs
        tl.store(target, (even * cosine - odd * sine).to(pool.dtype.element_ty))
        tl.store(target + 1, (even * sine + odd * cosine).to(pool.dtype.element_ty))


def best_tokens(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's likeliest token, and the log of the sum of its exp.

    logits   fp32 [num_rows, vocab_size]
    returns  int64 and fp32 [num_rows]. Of equal logits the lowest id is taken; NaN makes the sum NaN.
    """
    num_rows, vocab_size = logits.shape
    num_parts = triton.cdiv(vocab_size, _LOGITS_AT_ONCE)
    maxima = torch.empty(num_rows, num_parts, dtype=torch.float32, device=logits.device)
    sums, ids = torch.empty_like(maxima), torch.empty_like(maxima, dtype=torch.int32)
    _best_of_part[(num_rows, num_parts)](
        logits, maxima, sums, ids, vocab_size, logits.stride(0), BLOCK=_LOGITS_AT_ONCE, num_warps=4
    )
    highest, part = maxima.max(dim=1, keepdim=True)
    log_sum = highest[:, 0] + (sums * (maxima - highest).exp()).sum(dim=1).log()
    return ids.gather(1, part)[:, 0].long(), log_sum


@triton.jit
def _best_of_part(logits, maxima, sums, ids, vocab_size, row_stride, BLOCK: tl.constexpr):
    row, part = tl.program_id(0), tl.program_id(1)
    at = part * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(logits + row.to(tl.int64) * row_stride + at, mask=at < vocab_size, other=float("-inf"))
    highest, place = tl.max(values, axis=0, return_indices=True)
    out = row * tl.num_programs(1) + part
    tl.store(maxima + out, highest)
    tl.store(sums + out, tl.sum(tl.exp(values - highest), axis=0))
    tl.store(ids + out, part * BLOCK + place)
