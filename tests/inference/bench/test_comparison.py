"""The engine measured beside itself on tiny models, and what is said of peers that are not there."""

import argparse
import json
from pathlib import Path

import pytest

from inference.bench import __main__ as bench
from inference.bench import comparison, llama_cpp, moe
from inference.bench.contender import ContenderFailed, ContenderProcess
from inference.bench.workload import Measure
from inference.checkpoints import random_model
from tests.inference import model_files


@pytest.fixture(autouse=True)
def no_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERS_DIR", str(tmp_path / "peers"))


def test_a_mixture_in_int4_is_measured_beside_its_own_bf16(tmp_path: Path) -> None:
    config = random_model.k2_like(vocab_size=4096)
    options = argparse.Namespace(rounds=1, measures=[Measure.DECODE, Measure.COLD, Measure.CACHED])
    int4, bf16 = moe.written(tmp_path, config)
    done = moe.compare(int4, bf16, num_threads=1, options=options)
    comparison.write(tmp_path / "moe.json", [done], command="test")
    (written,) = json.loads((tmp_path / "moe.json").read_text())["comparisons"]
    assert {goal["goal"] for goal in written["goals"]} == {">= 2 x"}
    assert written["samples"]["decode, one stream: ours"][0] > 0
    assert (
        written["samples"]["first token, 90 % cached: ours"]
        < written["samples"]["first token, prompt cold: ours"]
    )
    assert any("transformers" in line and "make" in line for line in written["missing"])
    assert "decode, one stream" in comparison.text(done)


def test_a_missing_peer_is_said_and_the_rest_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, written = str(model_files.smollm2()), tmp_path / "cpu.json"
    asked = ["cpu", "--models", path, "--rounds", "1", "--measures", "decode", "read", "--json", str(written)]
    assert bench.main(asked) == 0
    printed = capsys.readouterr().out
    assert "llama.cpp is missing" in printed
    assert "run `make bench-peers`" in printed
    assert "decode, one stream against llama.cpp's: not measured (goal >= 1.2 x)" in printed
    (comparison,) = json.loads(written.read_text())["comparisons"]
    figures = {figure["name"]: figure["value"] for figure in comparison["figures"]}
    assert figures["decode, one stream: ours"] > 0
    assert figures["memory's speed used by decode: ours"] > 0


def test_a_contender_that_cannot_start_says_why(tmp_path: Path) -> None:
    arguments = {"path": tmp_path / "nothing.gguf", "num_threads": 1}
    with pytest.raises(ContenderFailed, match=r"ours: FileNotFoundError: .*nothing\.gguf"):
        ContenderProcess("ours", "inference.bench.ours:OurEngine", arguments)


def test_a_model_that_was_not_pulled_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["cpu", "--models", "smollm2", "--models-dir", str(tmp_path)]) == 1
    assert "manage.py models pull smollm2" in capsys.readouterr().err


def test_llama_cpp_is_measured_where_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = model_files.ROOT / "var" / "peers" / "bin"
    if llama_cpp.missing(programs) is not None:
        pytest.skip("llama.cpp is not built: make bench-peers")
    peer = llama_cpp.LlamaCpp(model_files.smollm2(), programs=programs, num_threads=1)
    try:
        assert peer.sample(Measure.DECODE) > 0
        assert peer.sample(Measure.FOUR) > 0
        assert peer.peak_memory_bytes() > 2**26
    finally:
        peer.close()
