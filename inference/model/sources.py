"""The door to model files: a GGUF file or a checkpoint folder as a decoder's parameters."""

from pathlib import Path

from inference.checkpoints import folder, gguf_file
from inference.model.folder_source import FolderParameters
from inference.model.gguf_source import GGUFParameters
from inference.model.parameters import Parameters


def open_parameters(path: Path) -> Parameters:
    """A .gguf file, or a folder with config.json and safetensors; nothing is read yet but headers.

    Raises BadModelFile, or OSError where the path cannot be read.
    """
    if path.is_dir():
        return FolderParameters(folder.read(path))
    return GGUFParameters(gguf_file.read(path))
