"""Writing a checkpoint folder shard by shard; it gets its name only when all of it is there."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from inference.checkpoints.listing import CONFIG, INDEX, SINGLE

SHARD_BYTES = 2 << 30


class AlreadyThere(Exception):
    """The folder to be written exists."""


class CheckpointWriter:
    """A folder in the making: `add` its tensors, leave the `with` block, and it is there.

    An exception leaves nothing behind. Never more than one shard is in memory.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], *, shard_bytes: int = SHARD_BYTES) -> None:
        if path.exists():
            raise AlreadyThere(f"{path} exists: name another folder, or remove it first")
        self._path = path
        self._config = config
        self._shard_bytes = shard_bytes
        self._incoming = path.with_name(f".{path.name}.incoming")
        self._waiting: dict[str, Tensor] = {}
        self._num_waiting_bytes = 0
        self._num_bytes = 0
        self._shards: list[list[str]] = []

    def __enter__(self) -> "CheckpointWriter":
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)
        return self

    def add(self, name: str, tensor: Tensor) -> None:
        """Raises OSError where a shard cannot be written, as does leaving the `with` block."""
        num_bytes = tensor.numel() * tensor.element_size()
        if self._waiting and self._num_waiting_bytes + num_bytes > self._shard_bytes:
            self._flush()
        self._waiting[name] = tensor.contiguous()
        self._num_waiting_bytes += num_bytes
        self._num_bytes += num_bytes

    def copy_file(self, source: Path) -> None:
        """Take a file (a tokenizer, a template) over as it is."""
        shutil.copyfile(source, self._incoming / source.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._incoming, ignore_errors=True)

    def _finish(self) -> None:
        self._flush()
        self._name_shards()
        config = json.dumps(self._config, indent=2, ensure_ascii=False) + "\n"
        (self._incoming / CONFIG).write_text(config, encoding="utf-8")
        self._incoming.rename(self._path)

    def _flush(self) -> None:
        if not self._waiting:
            return
        try:
            save_file(self._waiting, self._incoming / f"{len(self._shards)}.part", metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"{self._path} could not be written ({error}): make room, try again") from error
        self._shards.append(list(self._waiting))
        self._waiting, self._num_waiting_bytes = {}, 0

    def _name_shards(self) -> None:
        """Shards are numbered `of` their count, which is known only now."""
        if len(self._shards) == 1:
            (self._incoming / "0.part").rename(self._incoming / SINGLE)
            return
        files: dict[str, str] = {}
        for number, names in enumerate(self._shards):
            file = f"model-{number + 1:05}-of-{len(self._shards):06}.safetensors"
            (self._incoming / f"{number}.part").rename(self._incoming / file)
            files |= dict.fromkeys(names, file)
        index = {"metadata": {"total_size": self._num_bytes}, "weight_map": files}
        (self._incoming / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
