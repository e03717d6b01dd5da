"""Quality beside speed: how near to fp32, by hand-made logits and on a real model."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from inference.bench import __main__ as bench
from inference.bench import quality
from inference.bench.contender import ContenderFailed
from tests.inference import model_files


def test_nearness_is_kl_divergence_agreement_and_perplexity() -> None:
    exact = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    theirs = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])
    found = quality.nearness(theirs, exact, torch.tensor([0, 1]))
    assert found.divergence == pytest.approx((0.75 * math.log(3) - 0.25 * math.log(3)) / 2)
    assert found.agreement == 0.5
    assert found.perplexity == pytest.approx(math.exp(-(math.log(0.75) + math.log(0.5)) / 2))


def test_what_llama_perplexity_says_is_read() -> None:
    said = "Mean PPL(Q)   :  12.3456 ± 0.5\nMean    KLD:   0.001234 ± 0.00002\nSame top p: 97.250 ± 0.7 %"
    assert quality.parse_llama_perplexity(said) == quality.Nearness(
        divergence=0.001234, agreement=0.9725, perplexity=12.3456
    )
    with pytest.raises(ContenderFailed, match="something else"):
        quality.parse_llama_perplexity("usage: llama-perplexity")


def test_more_windows_than_the_text_has_are_refused() -> None:
    with pytest.raises(ValueError, match="2 windows: ask for no more"):
        quality.Cut(3, 256).windows(list(range(600)))


@pytest.fixture
def threads() -> Iterator[None]:
    """torch's number of threads is the process's: the tests that follow get theirs back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_native_and_int4_stay_near_fp32(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERS_DIR", str(tmp_path))
    asked = [
        "quality",
        "--models",
        str(model_files.smollm2()),
        "--windows",
        "1",
        "--window-tokens",
        "32",
        "--threads",
        "1",
    ]
    assert bench.main(asked) == 0
    printed = capsys.readouterr()
    assert "llama.cpp is missing" in printed.err
    lines = [line.split("  ") for line in printed.out.splitlines() if ": KL divergence" in line]
    divergences = {line[0].split(":")[0]: float(line[-1].split()[0]) for line in lines}
    assert divergences["fp32"] == 0
    assert 0 < divergences["native"] < 50
    assert 0 < divergences["torch int4, token by token"] < 50
