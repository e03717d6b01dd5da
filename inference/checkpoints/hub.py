"""Whole checkpoint folders from a hub, by repository name. Torch-free.

A folder gets its name by one rename once all its files are there; what was fetched before an interruption is
kept and not asked for again.
"""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference.checkpoints import BadModelFile, listing

CONNECT_TIMEOUT_S = 4.0
# A file of a pulled folder that says which repository it is, and which revision was asked for.
ORIGIN = ".pulled-from"
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

    `endpoint` None is the hub that HF_ENDPOINT names. Raises PullFailed, also where the folder is there and
    holds another repository or revision, BadModelFile for a repository without a whole checkpoint, OSError
    where the folder cannot be written.
    """
    target = models_dir / repository.partition("/")[2]
    if not target.exists():
        incoming = models_dir / ".incoming" / repository.replace("/", "--")
        incoming.parent.mkdir(parents=True, exist_ok=True)
        with _alone(incoming):
            # Another process may have pulled it while this one waited.
            if not target.exists():
                _fetch(repository, incoming, revision, endpoint)
                incoming.rename(target)
    _check_origin(target, repository, revision)
    return target


def _fetch(repository: str, incoming: Path, revision: str | None, endpoint: str | None) -> None:
    incoming.mkdir(exist_ok=True)
    _download(repository, incoming, revision, endpoint)
    _check_whole(incoming)
    (incoming / ORIGIN).write_text(_origin(repository, revision), encoding="utf-8")


def _origin(repository: str, revision: str | None) -> str:
    return f"{repository} {revision or 'main'}"


def _check_origin(target: Path, repository: str, revision: str | None) -> None:
    """A folder that was not pulled says nothing of itself, and counts as the one that is meant."""
    note = target / ORIGIN
    found = note.read_text(encoding="utf-8") if note.exists() else None
    wanted = _origin(repository, revision)
    if found is not None and found != wanted and (revision or found.split()[0] != repository):
        raise PullFailed(
            f"{target} is there and holds {found}, not {wanted}: move or remove it, then pull again"
        )


@contextmanager
def _alone(incoming: Path) -> Iterator[None]:
    """One pull of a repository at a time, however many processes ask."""
    with incoming.with_name(f"{incoming.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
    missing = [file for file in (listing.CONFIG, *listing.shards(folder)) if not (folder / file).exists()]
    if missing:
        raise BadModelFile(
            f"the repository holds no {missing[0]}: it is no checkpoint in safetensors; name one that is"
        )
