"""What is read from a model file's header, and which files are refused."""

from pathlib import Path

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


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    path = tiny_model.write(tmp_path / "other.gguf", architecture="mamba")
    with pytest.raises(BadModelFile, match="mamba"):
        gguf_config.read(gguf_file.read(path))
