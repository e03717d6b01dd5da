"""Every stored format unpacks to exactly what the gguf library makes of it."""

import numpy as np
import pytest
import torch
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize

from inference.kernels import gguf_blocks, reference
from tests.inference import tiny_model


@pytest.mark.parametrize("type_name", sorted(gguf_blocks.AFFINE_TYPES))
def test_unpacked_blocks_equal_the_library_s_weights(type_name: str) -> None:
    rng = np.random.default_rng(1)
    raw = tiny_model.random_blocks(type_name, num_rows=9, num_columns=768, rng=rng)
    blocks = gguf_blocks.unpack(torch.from_numpy(raw), type_name=type_name)
    expected = dequantize(raw, GGMLQuantizationType[type_name])
    np.testing.assert_allclose(reference.dequantize(blocks).numpy(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("type_name", "dtype"), sorted(gguf_blocks.FLOAT_TYPES.items()))
def test_floats_are_read_as_stored(type_name: str, dtype: torch.dtype) -> None:
    stored = torch.randn(3, 40, generator=torch.Generator().manual_seed(2)).to(dtype)
    read = gguf_blocks.unpack_float(stored.view(torch.uint8), type_name=type_name)
    assert torch.equal(read, stored.float())
