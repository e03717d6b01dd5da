"""A model file becomes an engine that says what it runs on; what cannot be is refused with what to do."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from inference import engine as engines
from inference.checkpoints import BadModelFile, random_model
from inference.engine import Engine, SamplingParams, TooLittleMemory, loader, resources
from inference.engine.loader import KVDtype, Precision
from inference.native import self_test
from inference.native.build import BuildFailed
from tests.inference import tiny_model
from tests.inference.engine.driving import prompt, run, sequence


def load(
    path: Path,
    *,
    precision: Precision | None = None,
    kv_dtype: KVDtype = "full",
    max_context_tokens: int | None = None,
) -> Engine:
    return engines.load(
        path,
        on_progress=lambda share: None,
        num_threads=1,
        precision=precision,
        kv_dtype=kv_dtype,
        max_context_tokens=max_context_tokens,
    )


def test_progress_rises_to_one(tiny_path: Path) -> None:
    told: list[float] = []
    engines.load(tiny_path, on_progress=told.append, num_threads=1)
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("precision", ["native", "int4", "bf16", "fp32"])
def test_every_precision_of_a_file_answers_alike(tiny_path: Path, precision: Precision) -> None:
    engine = load(tiny_path, precision=precision)
    answer = run(engine, sequence("a", prompt(1, 40), max_tokens=3))["a"]
    exact = run(load(tiny_path, precision="fp32"), sequence("a", prompt(1, 40), max_tokens=3))["a"]
    assert answer.token_ids[0] == exact.token_ids[0]
    told = engine.describe()
    assert told["kernel"].split()[0] == ("native" if precision == "native" else "torch")
    assert (told["self_test"], told["max_context_tokens"], told["num_blocks_used"]) == ("passed", 512, 0)


@pytest.mark.parametrize("shape", [random_model.k2_like(), random_model.dense("qwen3")], ids=["k2", "qwen3"])
def test_a_checkpoint_folder_runs_like_a_file(tmp_path: Path, shape: dict[str, Any]) -> None:
    random_model.write(tmp_path / "model", shape)
    engine = load(tmp_path / "model", max_context_tokens=256)
    sampling = SamplingParams(temperature=1, seed=3)
    ids = [token_id % shape["vocab_size"] for token_id in prompt(1, 100)]
    answers = [run(engine, sequence("a", ids, sampling=sampling))["a"] for _ in range(2)]
    assert answers[0].token_ids == answers[1].token_ids
    assert (answers[0].num_cached_tokens, answers[1].num_cached_tokens) == (0, 64)


def test_keys_and_values_are_kept_in_fp8_where_biases_do_not_forbid_it(
    tiny_path: Path, tmp_path: Path
) -> None:
    random_model.write(tmp_path / "model", random_model.k2_like())
    engine = load(tmp_path / "model", kv_dtype="fp8", max_context_tokens=256)
    assert engine.describe()["kv_dtype"] == "float8_e4m3fn"
    assert len(run(engine, sequence("a", prompt(1, 100)))["a"].token_ids) == 12
    assert load(tiny_path, kv_dtype="fp8").describe()["kv_dtype"] == "bfloat16"


def test_without_a_compiler_torch_computes_and_says_so(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise BuildFailed("no C++ compiler: install one")

    monkeypatch.setattr(loader, "NativeDecoder", refuse)
    told = load(tiny_path).describe()
    assert told["kernel"].startswith("torch")
    assert told["self_test"] == "no native kernels: no C++ compiler: install one"


def test_a_kernel_that_computes_wrong_results_is_not_used(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "run", lambda: {"Q4_K": False, "F32": True})
    told = load(tiny_path).describe()
    assert told["kernel"].startswith("torch")
    assert "self-test failed for Q4_K" in told["self_test"]


def test_memory_bounds_the_context_and_too_little_is_refused(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block_bytes = 64 * 2 * 2 * 2 * 64 * 2  # tokens, layers, keys and values, heads, head_dim, bf16
    monkeypatch.setattr(loader, "_POOL_SHARE", 5 * block_bytes / 2**30)
    monkeypatch.setattr(loader, "_LEAST_CONTEXT_TOKENS", 256)
    monkeypatch.setattr(resources, "available_bytes", lambda: 2**30)
    engine = load(tiny_path)
    assert (engine.describe()["max_context_tokens"], engine.describe()["num_blocks"]) == (320, 5)
    with pytest.raises(engines.PromptTooLong, match="at most 319"):
        engine.add(sequence("a", prompt(1, 320)))
    monkeypatch.setattr(loader, "_POOL_SHARE", 3 * block_bytes / 2**30)
    with pytest.raises(TooLittleMemory, match="256 tokens takes 0 MiB.*fp8"):
        load(tiny_path)
    monkeypatch.setattr(resources, "available_bytes", lambda: 1000)
    with pytest.raises(TooLittleMemory, match="weights take 1 MiB.*smaller model"):
        load(tiny_path)


def test_the_smallest_context_holds_a_question_and_an_answer(tiny_path: Path) -> None:
    engine = load(tiny_path, max_context_tokens=2)
    answer = run(engine, sequence("a", [5]))["a"]
    assert (len(answer.token_ids), answer.finish_reason) == (1, "length")


def test_weights_that_grow_when_they_are_packed_are_refused_before_memory_runs_out(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "packed_bytes", lambda parameters: 2**40)
    with pytest.raises(TooLittleMemory, match="weights take 1,048,576 MiB.*smaller model"):
        load(tiny_path)


def test_a_model_of_damaged_numbers_is_refused(tmp_path: Path) -> None:
    path = tiny_model.write(tmp_path / "tiny.gguf")
    embedding = next(t for t in gguf.GGUFReader(path).tensors if t.name == "token_embd.weight")
    raw = bytearray(path.read_bytes())
    raw[embedding.data_offset : embedding.data_offset + 4] = np.float32(np.inf).tobytes()
    path.write_bytes(raw)
    with pytest.raises(BadModelFile, match="not finite"):
        load(path)
