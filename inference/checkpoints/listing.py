"""Which files make up a checkpoint folder, by its own lists. Torch-free, reads no tensors."""

import json
from pathlib import Path
from typing import Any

from inference.checkpoints import BadModelFile

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
FETCH_AGAIN = "fetch the checkpoint again (manage.py models pull goes on where it stopped)"


def read_config(path: Path) -> dict[str, Any]:
    """The folder's config.json. Raises BadModelFile."""
    return _read_json(path / CONFIG)


def shards(path: Path) -> dict[str, list[str]]:
    """Every file with tensors, and the tensors that the index expects in it; the files need not be there.

    Raises BadModelFile for an index that cannot be read, or that names a file outside the folder.
    """
    if not (path / INDEX).exists():
        return {SINGLE: []}
    files = _read_json(path / INDEX).get("weight_map")
    if not isinstance(files, dict) or not files:
        raise BadModelFile(f"{INDEX} has no weight_map: {FETCH_AGAIN}")
    found: dict[str, list[str]] = {}
    for name, file in files.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise BadModelFile(f"{INDEX} has {name} in {file!r}, no file of the folder: {FETCH_AGAIN}")
        found.setdefault(file, []).append(name)
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        parsed = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadModelFile(f"{path.parent} has no {path.name}: {FETCH_AGAIN}") from None
    except (ValueError, RecursionError) as error:
        raise BadModelFile(f"{path} is no JSON ({error}): {FETCH_AGAIN}") from error
    if not isinstance(parsed, dict):
        raise BadModelFile(f"{path} holds no object: {FETCH_AGAIN}")
    return parsed
