"""The same checkpoint in transformers, from weights that our tools dequantised to fp32."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference.checkpoints import conversion


def open_in_transformers(folder: Path, *, dtype: torch.dtype = torch.float32) -> Any:
    """The folder's model; converted once, beside it."""
    import transformers

    plain = folder.with_name(f"{folder.name}-plain")
    if not plain.exists():
        conversion.convert(folder, plain, dtype=torch.float32)
        config = json.loads((plain / "config.json").read_text())
        if config["model_type"] == "kimi_k2":  # the same architecture under a name that transformers lacks
            config["model_type"] = "deepseek_v3"
        (plain / "config.json").write_text(json.dumps(config))
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        plain, dtype=dtype, attn_implementation="eager", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    return model.eval()


@torch.inference_mode()
def logits(model: Any, token_ids: list[int]) -> Tensor:
    """fp32 logits behind every token."""
    answer: Tensor = model(torch.tensor([token_ids])).logits[0].float()
    return answer


def take_exact_angles(model: Any, frequencies: Tensor) -> None:
    """Let the model compute its rotations in fp64 from these frequencies, equal to its own but for rounding.

    Its fp32 frequencies and angles are off by some hundredths of a radian at position 200,000, which is no
    property of the architecture.
    """
    rotary = model.model.rotary_emb
    torch.testing.assert_close(rotary.inv_freq.double(), frequencies, rtol=1e-6, atol=0)

    def forward(x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        angles = position_ids.double()[..., None] * frequencies
        doubled = torch.cat([angles, angles], dim=-1)
        scale = rotary.attention_scaling
        return (doubled.cos() * scale).to(x.dtype), (doubled.sin() * scale).to(x.dtype)

    rotary.forward = forward
