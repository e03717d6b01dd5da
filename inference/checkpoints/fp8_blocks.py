"""DeepSeek's FP8 format: e4m3 values, and for each block of 128 x 128 one scale that they are multiplied by.

The last blocks of a row or column may be smaller.
"""

import torch
from torch import Tensor

SIZE = 128


def scales_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """The shape of the scales of a matrix of this shape."""
    return -(-shape[0] // SIZE), -(-shape[1] // SIZE)


def dequantize(stored: Tensor, scales: Tensor, rows: Tensor) -> Tensor:
    """Chosen rows [num_chosen] of stored fp8 [num_rows, num_columns], fp32."""
    # Indexed as bytes: torch cannot index the type.
    values = stored.view(torch.uint8)[rows].view(stored.dtype).float()
    return values * scales.float()[rows // SIZE].repeat_interleave(SIZE, dim=1)[:, : stored.shape[1]]


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """fp32 [num_rows, num_columns] -> e4m3 values of the same shape, and fp32 scales."""
    num_rows, num_columns = weight.shape
    across, along = scales_shape((num_rows, num_columns))
    padded = torch.zeros(across * SIZE, along * SIZE)
    padded[:num_rows, :num_columns] = weight
    blocks = padded.view(across, SIZE, along, SIZE)
    scales = blocks.abs().amax(dim=(1, 3)).clamp(min=1e-12) / torch.finfo(torch.float8_e4m3fn).max
    values = (blocks / scales[:, None, :, None]).view(padded.shape)[:num_rows, :num_columns]
    return values.to(torch.float8_e4m3fn), scales
