"""transformers as a contender: the same file, dequantised to bf16 by its own reader."""

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import torch

from inference.bench import workload
from inference.bench.workload import Measure

os.environ.setdefault("TQDM_DISABLE", "1")  # transformers' bars would run through the bench's own lines
import transformers  # noqa: E402  (the bars are switched off when it is imported)


class TransformersModel:
    """A model and its cache, stepped by hand: `generate` would add work of its own to every token."""

    measures = frozenset((Measure.DECODE, Measure.PREFILL))

    def __init__(self, path: Path, *, num_threads: int) -> None:
        torch.set_num_threads(num_threads)
        transformers.logging.disable_progress_bar()
        self._model = (_from_folder(path) if path.is_dir() else _from_gguf(path)).eval()
        self._numbers = itertools.count()
        self.facts = {"version": transformers.__version__, "kernel": "bf16"}
        self.sample(Measure.DECODE)

    @torch.inference_mode()
    def sample(self, measure: Measure) -> float:
        """As Contender.sample says."""
        if measure is Measure.PREFILL:
            ids = torch.tensor([workload.prompt(next(self._numbers), workload.PREFILL_TOKENS)])
            started_at = time.perf_counter()
            self._model(ids, use_cache=True, logits_to_keep=1)
            return workload.PREFILL_TOKENS / (time.perf_counter() - started_at)
        ids = torch.tensor([workload.prompt(next(self._numbers), workload.DECODE_PROMPT_TOKENS)])
        reply = self._model(ids, use_cache=True, logits_to_keep=1)
        started_at = time.perf_counter()
        for _ in range(workload.DECODE_TOKENS):
            ids = reply.logits[:, -1].argmax(dim=-1, keepdim=True)
            reply = self._model(ids, past_key_values=reply.past_key_values, use_cache=True)
        return workload.DECODE_TOKENS / (time.perf_counter() - started_at)


def _from_gguf(path: Path) -> Any:
    """Dequantised to bf16 at load: fp32, and its own default for GGUF files, are slower on a CPU."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        dtype=torch.bfloat16,
        quantization_config=transformers.GgufConfig(dequantize=True),
    )


def _from_folder(path: Path) -> Any:
    """A checkpoint folder of bf16 weights; transformers has Kimi K2's architecture as DeepSeek V3."""
    settings = json.loads((path / "config.json").read_text(encoding="utf-8"))
    kind = settings.pop("model_type")
    config = transformers.AutoConfig.for_model("deepseek_v3" if kind == "kimi_k2" else kind, **settings)
    return transformers.AutoModelForCausalLM.from_pretrained(path, config=config, dtype=torch.bfloat16)
