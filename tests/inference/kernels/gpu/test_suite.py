"""The kernels as a decoder gets them: proved on the device, their twins where they fail."""

import logging

import pytest
import torch

from inference.kernels.gpu import latent, rows, self_test, suite, tuning
from inference.kernels.gpu.suite import KERNELS, Suite


def test_every_kernel_passes_its_self_test(device: torch.device) -> None:
    assert self_test.run(device) == dict.fromkeys(KERNELS, True)


def test_twins_pass_it_too(device: torch.device) -> None:
    twins = Suite(suite.device_name(device), frozenset(KERNELS))
    assert self_test.run(device, twins) == dict.fromkeys(KERNELS, True)


def test_what_is_wrong_or_does_not_run_is_computed_by_its_twin_and_said(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = rows.add_rms_norm

    def off(hidden: torch.Tensor, *arguments: object, **named: object) -> torch.Tensor:
        return right(hidden, *arguments, **named) * 1.05  # type: ignore[arg-type]

    def does_not_compile(*arguments: object, **named: object) -> None:
        raise RuntimeError("out of shared memory")

    monkeypatch.setattr(rows, "add_rms_norm", off)
    monkeypatch.setattr(latent, "decode", does_not_compile)
    with caplog.at_level(logging.WARNING):
        proven = self_test.proven(device)
    assert proven.wrong == {"add_rms_norm", "decode_latent"}
    assert not proven.can_capture
    assert "['add_rms_norm', 'decode_latent']" in caplog.text
    assert self_test.run(device, proven) == dict.fromkeys(KERNELS, True)


def test_the_table_serves_every_size_of_every_device() -> None:
    for device in ("NVIDIA H200", "a card of next year", "interpreter"):
        for size in (1, 2, 33, 4096, 10**7):
            assert tuning.experts(device, "gate_up", size).rows_per_block >= 1
            assert tuning.experts(device, "down", size).block_words % 4 == 0
            assert tuning.attention(device, "latent_decode", size).num_splits >= 1
            assert tuning.attention(device, "prefill", size).num_splits == 1
