"""Whole checkpoint folders from a hub, by repository name. Torch-free.

A folder gets its name by one rename once all its files are there; what was fetched before an interruption is
kept and not asked for again.
"""

import json
import re
from pathlib import Path

from inference.checkpoints import BadModelFile

CONNECT_TIMEOUT_S = 4.0
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
# Weights, configuration, vocabulary and template; never code.
PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "LICENSE*")


class PullFailed(Exception):
    """The hub did not give the repository; the text says what to do."""


def is_repository(name: str) -> bool:
    """Whether a name has the form owner/repository."""
    return _REPOSITORY.fullmatch(name) is not None


def pull(
    repository: str, models_dir: Path, *, revision: str | None = None, endpoint: str | None = None
) -> Path:
    """The repository's folder in `models_dir`: at once if at hand, else downloaded; draws the hub's own bars.

    `endpoint` None is the hub that HF_ENDPOINT names. Raises PullFailed, BadModelFile for a repository
    without a whole checkpoint.
    """
    target = models_dir / repository.partition("/")[2]
    if target.exists():
        return target
    incoming = models_dir / ".incoming" / repository.replace("/", "--")
    incoming.mkdir(parents=True, exist_ok=True)
    _download(repository, incoming, revision, endpoint)
    _check_whole(incoming)
    incoming.rename(target)
    return target


def _download(repository: str, folder: Path, revision: str | None, endpoint: str | None) -> None:
    import httpx2
    from huggingface_hub import constants, snapshot_download

    hub = endpoint or constants.ENDPOINT
    try:
        # The hub's client retries for half a minute when nobody answers; asking once first costs nothing.
        httpx2.head(hub, timeout=CONNECT_TIMEOUT_S)
        snapshot_download(
            repository, revision=revision, local_dir=folder, endpoint=endpoint, allow_patterns=list(PATTERNS)
        )
    except (httpx2.HTTPError, OSError, ValueError) as error:
        raise PullFailed(
            f"{repository} could not be fetched from {hub} ({str(error) or type(error).__name__}): check the "
            "name and the network (HF_ENDPOINT names another hub, HF_TOKEN opens gated models), then pull "
            "again: it goes on where it stopped"
        ) from error


def _check_whole(folder: Path) -> None:
    """Raises BadModelFile unless config.json and every file that the index names are there."""
    index = folder / "model.safetensors.index.json"
    files = {"config.json"}
    if index.exists():
        files |= set(json.loads(index.read_bytes())["weight_map"].values())
    else:
        files.add("model.safetensors")
    missing = sorted(file for file in files if not (folder / file).exists())
    if missing:
        raise BadModelFile(
            f"the repository holds no {missing[0]}: it is no checkpoint in safetensors; name one that is"
        )
