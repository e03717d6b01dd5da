"""Two processes compute one model together: over gloo where there are no two GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed")

from inference.gpu.sharding import CannotShard, Shard

ROOT = Path(__file__).resolve().parents[3]
# A process of its own: torch joins a group once in a process's life.
PROGRAM = """
import torch
from inference.gpu import weights
from inference.gpu.decoder import GpuDecoder
from inference.gpu.group import GroupDecoder
from inference.gpu.sharding import Shard
from inference.kernels.gpu import suite
from inference.kernels.gpu.suite import Suite
from inference.model.kv_pool import KVPool
from inference.model.port import Span
from inference.native.sample_decoders import RandomParameters

CUDA = torch.cuda.device_count() >= 2

def make(shard):
    device = torch.device("cuda", shard.rank) if CUDA else torch.device("cpu")
    source = RandomParameters("kimi_k2", format="INT4_G32")
    kernels = Suite(suite.device_name(device))
    share = weights.load(source, device=device, shard=shard)
    return GpuDecoder(share, max_context_tokens=128, shard=shard, kernels=kernels)

def logits(model, pool):
    span = Span(block_ids=[1, 0], start=0, num_tokens=9, num_logits=9)
    after = Span(block_ids=[1, 0], start=9, num_tokens=1)
    ids = list(range(20, 30))
    return torch.cat([model.forward(ids[:9], [span], pool), model.forward(ids[9:], [after], pool)])

if __name__ == "__main__":
    alone = make(Shard())
    expected = logits(alone, KVPool(alone.config, num_blocks=2, dtype=torch.bfloat16, device=alone.device))
    group = GroupDecoder(make, count=2)
    found = logits(group, group.make_pool(2))
    group.close()
    distance = (found - expected).norm() / expected.norm()
    print(float(distance), torch.equal(found.argmax(1), expected.argmax(1)))
"""


def test_two_devices_answer_as_one(tmp_path: Path) -> None:
    program = tmp_path / "group_program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    distance, agrees = done.stdout.split()[-2:]
    assert float(distance) < 2e-2
    assert agrees == "True"


def test_what_does_not_divide_is_said() -> None:
    assert Shard(1, 4).run(64, "attention heads") == slice(16, 32)
    with pytest.raises(CannotShard, match="20 attention heads cannot be shared out evenly to 8 devices"):
        Shard(0, 8).run(20, "attention heads")
