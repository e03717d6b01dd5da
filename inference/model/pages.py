"""Memory for what is read from one end to the other at every step: weights and the KV cache."""

import contextlib
import mmap

import torch
from torch import Tensor

_HUGE_PAGE = 1 << 21


def zeroed(num_bytes: int) -> Tensor:
    """Zeros, uint8 [num_bytes], given back with the tensor. Raises OSError (ENOMEM).

    The system hands the pages out when they are first written to; large ones where it has them, so that
    reading on does not stop to find the next small one.
    """
    # Private: what is shared between processes gets no large pages as systems are commonly set.
    if not hasattr(mmap, "MAP_PRIVATE"):
        return torch.zeros(num_bytes, dtype=torch.uint8)
    pages = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if num_bytes >= _HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel that was built without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=torch.uint8)
