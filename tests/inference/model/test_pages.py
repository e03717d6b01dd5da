"""Memory of pages that come when they are written, in large ones where the system has them."""

import re
import sys
from pathlib import Path

import psutil
import pytest
import torch

from inference.model import kv_pool, pages
from inference.model.kv_pool import KVPool
from inference.native.sample_decoders import CONFIGS

SMAPS = Path("/proc/self/smaps")


def flags_at(address: int) -> list[str]:
    """What the kernel notes of the mapping that holds an address (man 5 proc, VmFlags)."""
    is_here = False
    for line in SMAPS.read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            is_here = int(bounds[1], 16) <= address < int(bounds[2], 16)
        elif is_here and line.startswith("VmFlags:"):
            return line.split()[1:]
    raise AssertionError("no such mapping")


@pytest.mark.skipif(not SMAPS.exists(), reason="Linux tells how memory is mapped")
def test_long_memory_asks_for_large_pages_that_private_memory_alone_gets():
    memory = pages.zeroed(8 << 20)
    flags = flags_at(memory.data_ptr())
    assert "sh" not in flags
    if Path("/sys/kernel/mm/transparent_hugepage").exists():
        assert "hg" in flags


def test_memory_is_zero_and_lives_as_long_as_its_tensor():
    memory = pages.zeroed(3 << 20).view(torch.float32)[5:]
    assert not memory.any()
    memory.fill_(2)
    assert memory.sum() == 2 * len(memory)


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident memory")
def test_an_empty_cache_takes_no_memory():
    config = CONFIGS["llama"]
    num_blocks = (256 << 20) // kv_pool.bytes_per_block(config, torch.float32)
    before = psutil.Process().memory_info().rss
    pool = KVPool(config, num_blocks=num_blocks, dtype=torch.float32)
    assert psutil.Process().memory_info().rss - before < 32 << 20
    pool.layers[-1][num_blocks - 1].fill_(1)
    assert not pool.layers[0][0].any()
