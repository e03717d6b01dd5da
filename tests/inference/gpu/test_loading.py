"""What a device's memory is planned for, and what is said where a GPU cannot serve."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed")

from inference.engine import loader
from inference.gpu import loading
from inference.gpu.weights import UnsupportedModel
from tests.inference import tiny_model

GIB = 1 << 30


def test_what_the_weights_leave_goes_to_the_pool_but_for_a_workspace() -> None:
    planned, num_blocks = loading.plan(
        total=80 * GIB, free=50 * GIB, block_bytes=4 << 20, wanted_tokens=262144
    )
    assert planned.weights == 30 * GIB
    assert planned.pool == num_blocks * (4 << 20)
    assert planned.weights + planned.pool + planned.workspace <= planned.total
    assert str(planned) == "weights 30.0 GiB, keys and values 46.0 GiB, workspace 4.0 GiB of 80.0 GiB"


def test_a_small_model_takes_no_more_than_it_can_use() -> None:
    planned, num_blocks = loading.plan(total=80 * GIB, free=79 * GIB, block_bytes=1 << 16, wanted_tokens=2048)
    assert num_blocks == 64 * 32
    assert planned.pool == 128 << 20


def test_too_little_memory_is_said() -> None:
    with pytest.raises(UnsupportedModel, match=r"leave 4.0 GiB of 80.0 GiB, too little to work in"):
        loading.plan(total=80 * GIB, free=4 * GIB, block_bytes=4 << 20, wanted_tokens=8192)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_was_asked_for_and_is_not_there_is_said(tmp_path: Path) -> None:
    path = tiny_model.write(tmp_path / "tiny.gguf")
    with pytest.raises(loader.WrongResults, match="the GPU cannot serve this model: no CUDA device"):
        loader.load(path, on_progress=lambda share: None, precision="gpu")
