"""What is read from a model file's header, and which files are refused."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from inference.checkpoints import BadModelFile, gguf_config, gguf_file
from tests.inference import tiny_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny_model.write(tmp_path / "tiny.gguf")


def test_header_and_tensors_equal_the_library_s_reading(path: Path) -> None:
    file, reader = gguf_file.read(path), gguf.GGUFReader(path)
    ours = dict(file.metadata)
    theirs = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert ours == theirs
    for tensor in reader.tensors:
        stored = np.ascontiguousarray(tensor.data).view(np.uint8).reshape(-1)
        assert np.array_equal(file.raw(tensor.name).reshape(-1), stored), tensor.name


def test_hyper_parameters_come_from_the_file(path: Path) -> None:
    read = gguf_config.read(gguf_file.read(path))
    assert (read.architecture, read.num_layers, read.num_kv_heads) == ("qwen2", 2, 2)
    assert (read.head_dim, read.vocab_size, read.max_context_tokens) == (64, 512, 512)
    assert read.cache_values_per_token == 2 * 2 * 2 * 64


@pytest.mark.parametrize("num_bytes", [0, 3, 100, 9000, -1])
def test_a_file_cut_short_is_refused(path: Path, num_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(BadModelFile):
        gguf_file.read(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "model.gguf"
    other.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(BadModelFile, match="not a GGUF file"):
        gguf_file.read(other)


def test_a_header_of_damaged_bytes_never_ends_in_anything_but_a_refusal(path: Path) -> None:
    whole, rng = path.read_bytes(), random.Random(0)
    tensors_start = min(info.offset for info in gguf_file.read(path).tensors.values())
    num_refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for at in rng.sample(range(4, tensors_start), 3):
            damaged[at] = rng.choice([0, 255, damaged[at] ^ 1, rng.randrange(256)])
        path.write_bytes(damaged)
        try:
            gguf_config.read(gguf_file.read(path))
        except BadModelFile:
            num_refused += 1
    assert num_refused > 100


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda writer: writer.add_uint16("split.count", 3), "one part of several.*--merge"),
        (lambda writer: writer.add_uint32("general.alignment", 0), r"general\.alignment 0"),
        (lambda writer: writer.add_array("qwen2.block_count", [2, 2]), "block_count"),
        (lambda writer: writer.add_rope_dimension_count(32), r"qwen2\.rope\.dimension_count 32"),
        (lambda writer: writer.add_head_count_kv(3), "4 heads share 3"),
        (lambda writer: writer.add_rope_freq_base(float("nan")), r"rope\.freq_base"),
        (lambda writer: writer.add_tensor("blk.0.attn_output.bias", np.zeros(256)), "attn_output.bias"),
    ],
)
def test_what_would_be_computed_wrongly_is_refused_by_name(
    tmp_path: Path, edit: Callable[[Any], None], words: str
) -> None:
    path = tiny_model.write(tmp_path / "edited.gguf", edit=edit)
    with pytest.raises(BadModelFile, match=words):
        gguf_config.read(gguf_file.read(path))


def test_a_tensor_that_is_there_twice_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"blk.1.attn_q.weight", b"blk.0.attn_q.weight"))
    with pytest.raises(BadModelFile, match=r"blk\.0\.attn_q\.weight is in it twice"):
        gguf_file.read(path)


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    path = tiny_model.write(tmp_path / "other.gguf", architecture="mamba")
    with pytest.raises(BadModelFile, match="mamba"):
        gguf_config.read(gguf_file.read(path))
