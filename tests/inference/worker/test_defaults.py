"""A request that does not say gets the model's own sampling."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from inference.schema import ChatMessage, ChatRequest, Role, Sampling, Thinking
from inference.tokenizer.tokenizer import Tokenizer
from inference.worker import defaults
from inference.worker.answer import Answer
from inference.worker.defaults import Defaults


def folder(tmp_path: Path, **files: object) -> Path:
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def file(tmp_path: Path, **fields: float | str) -> Path:
    path = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(str(path), "qwen2")
    for name, value in fields.items():
        key = name.replace("__", ".")
        writer.add_string(key, value) if isinstance(value, str) else writer.add_float32(key, value)
    writer.add_tensor("t", np.zeros(1, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_checkpoints_own_words_come_before_its_familys(tmp_path: Path):
    own = {"temperature": 0.6, "eos_token_id": 3, "top_p": None, "do_sample": True}
    path = folder(tmp_path, generation_config=own, config={"model_type": "kimi_k2"})
    sampling = defaults.of(path).sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.6, 1.0, 0)


def test_a_gguf_file_says_it_in_its_fields_or_by_its_family(tmp_path: Path):
    said = defaults.of(file(tmp_path, general__sampling__temp=0.25, general__basename="Qwen2.5-Coder"))
    assert said.sampling.temperature == 0.25
    assert said.sampling.top_p == 0.8
    assert defaults.of(file(tmp_path, general__basename="Nobody")) == defaults.of_any_model()


def test_the_request_comes_before_all(tiny_kimi: Tokenizer, smollm2: Tokenizer):
    own = Defaults(
        sampling=Sampling(temperature=0.9, top_k=7, repetition_penalty=1.1), led=defaults.of_any_model().led
    )

    def params(tokenizer: Tokenizer, *, thinks: bool = False, **asked: Any):
        request = ChatRequest(
            id="one",
            model="m",
            messages=(ChatMessage(role=Role.USER, content="hi"),),
            sampling=Sampling(**asked),
            thinking=Thinking(enabled=thinks),
            tenant="t",
            priority=2,
        )
        sequence = Answer(request, tokenizer=tokenizer, context_tokens=2000, defaults=own).sequence
        assert (sequence.tenant, sequence.salt, sequence.priority) == ("t", "t", 2)
        return sequence.sampling

    assert (params(tiny_kimi).temperature, params(tiny_kimi).top_k, params(tiny_kimi).top_p) == (0.9, 7, 1.0)
    assert params(tiny_kimi).repetition_penalty == 1.1
    assert params(tiny_kimi, temperature=0.0, top_k=0).temperature == 0.0
    assert params(smollm2, thinks=True).temperature == own.led.temperature, "it is led"
    assert params(smollm2, thinks=True, temperature=0.5).temperature == 0.5


@pytest.mark.parametrize("name", ["qwen2.5-coder-1.5b", "smollm2"])
def test_every_shipped_model_has_defaults(name: str):
    from django.conf import settings

    from inference import registry

    path = registry.load()[name].path(settings.MODELS_DIR)
    if not path.exists():
        pytest.skip(f"{path.name} is not at hand")
    assert defaults.of(path).sampling.temperature == 0.7
