"""Where there is no GPU the kernels run in Triton's interpreter (`tests.environment` asks for it)."""

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed")


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(7)
