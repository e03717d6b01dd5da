"""`verify` finds what is missing, misshapen, changed or not finite, and says nothing of what is sound."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.checkpoints import __main__ as tools
from inference.checkpoints import random_model, verification
from tests.inference import tiny_model

SCALE = "model.layers.2.mlp.experts.5.down_proj.weight_scale"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return random_model.write(tmp_path / "k2", random_model.k2_like(), stored="int4")


def test_a_sound_folder_has_no_faults(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verification.faults(path) == []
    assert tools.main(["verify", str(path)]) == 0
    assert "whole and sound" in capsys.readouterr().out


def test_every_fault_of_a_folder_is_listed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = load_file(path / "model.safetensors")
    stored[SCALE][3, 1] = float("inf")
    stored["lm_head.weight"][7, 7] = float("nan")
    stored["model.norm.weight"] = torch.ones(5)
    del stored["model.layers.1.self_attn.o_proj.weight"]
    save_file(stored, path / "model.safetensors")
    found = verification.faults(path)
    assert len(found) == 4
    for words in (
        f"{SCALE} holds NaN",
        "lm_head.weight holds NaN",
        "norm.weight has shape [5]",
        "o_proj.weight",
    ):
        assert sum(words in fault for fault in found) == 1, words
    assert tools.main(["verify", str(path)]) == 1
    assert "4 faults" in capsys.readouterr().out


def test_a_file_that_is_not_what_the_hub_sent_is_named(path: Path) -> None:
    notes = path / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    sent = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    note = notes / "model.safetensors.metadata"
    note.write_text(f"{'c' * 40}\n{sent}\n1763900000.0\n")
    assert verification.faults(path) == []
    note.write_text(f"{'c' * 40}\n{'0' * 64}\n1763900000.0\n")
    (fault,) = verification.faults(path)
    assert "model.safetensors is not the file that the hub sent" in fault


def test_a_gguf_file_s_faults_are_listed(tmp_path: Path) -> None:
    (fault,) = verification.faults(tiny_model.write(tmp_path / "tiny.gguf"))  # one token of it is poisoned
    assert fault.startswith("token_embd.weight holds NaN")


def test_what_cannot_be_opened_is_told_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tools.main(["verify", str(tmp_path / "nothing")]) == 1
    assert "is not there" in capsys.readouterr().err
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert tools.main(["inspect", str(tmp_path / "model.gguf")]) == 1
    assert "fetch it again" in capsys.readouterr().err
