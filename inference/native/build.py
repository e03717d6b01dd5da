"""Compiles the native code with this machine's own compiler, once for each state of the sources.

The library lies in a cache under a name that tells sources, compiler, options and processor, so that a change
of any of them builds anew and several workers may start at once. Knows nothing of what the code computes.
"""

import fcntl
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).parent / "src"
NATIVE = "native"
# No -ffast-math: NaN must stay visible. No contraction: the same sum must come out wherever a kernel is
# inlined, so that fused multiply-adds are written where they are meant.
_OPTIONS = (
    "-O3",
    "-std=c++17",
    "-fPIC",
    "-pthread",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-ffp-contract=off",
)
_COMPILERS = ("c++", "g++", "clang++")
_LONGEST_COMPLAINT = 2000
_LONGEST_S = 600


class BuildFailed(Exception):
    """There is no compiler, or it refused; the text says which and what to do."""


def build(*, cache: Path | None = None, march: str = NATIVE) -> Path:
    """The shared library for this machine, from the cache where it is there. `march` is the compiler's own
    word: native, haswell (AVX2), x86-64. Raises BuildFailed.
    """
    compiler = find_compiler()
    folder = cache or default_cache()
    options = (*_OPTIONS, f"-march={march}")
    target = folder / f"{_fingerprint(compiler, options)}.so"
    if target.exists():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder), tempfile.TemporaryDirectory(dir=folder) as scratch:
            if not target.exists():
                built = _compile(compiler, options, Path(scratch))
                if _fingerprint(compiler, options) != target.stem:
                    raise BuildFailed("the sources changed while they were compiled: start again")
                _write_out(built)
                built.replace(target)
    except OSError as error:
        raise BuildFailed(
            f"cannot build in {folder}: {error}; set KERNEL_CACHE to a folder of your own"
        ) from error
    return target


def find_compiler() -> str:
    """CXX where it is set, else the first of the usual names. Raises BuildFailed."""
    for name in (os.environ.get("CXX"), *_COMPILERS):
        if name and (found := shutil.which(name)):
            return found
    raise BuildFailed("no C++ compiler found: install g++ or clang, or name one in CXX")


def default_cache() -> Path:
    """KERNEL_CACHE, else the folder kernels of VAR_DIR."""
    if chosen := os.environ.get("KERNEL_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("VAR_DIR", "var")) / "kernels"


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Several workers that start at once build once; the lock goes with the process that holds it."""
    with (folder / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(compiler: str, options: tuple[str, ...], scratch: Path) -> Path:
    """Each file on its own, as many at once as there are processors, then one link."""
    started = time.monotonic()
    sources = sorted(SOURCES.glob("*.cpp"))
    objects = [scratch / f"{source.stem}.o" for source in sources]

    def compile_one(source: Path, object_file: Path) -> None:
        _run([compiler, *options, "-c", str(source), "-o", str(object_file)])

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        list(pool.map(compile_one, sources, objects))
    linked = scratch / "kernels.so"
    _run([compiler, *options, "-shared", *map(str, objects), "-o", str(linked)])
    logger.info("built the native kernels with %s in %.1f s", compiler, time.monotonic() - started)
    return linked


def _write_out(file: Path) -> None:
    """To the disk itself: a library that lost its end with the machine's power kills who loads it."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_LONGEST_S
        )
    except subprocess.TimeoutExpired as error:
        raise BuildFailed(f"{command[0]} did not end within {_LONGEST_S} s") from error
    if done.returncode != 0:
        said = done.stderr.strip()[:_LONGEST_COMPLAINT]
        raise BuildFailed(f"the compiler refused ({' '.join(command[:1])}):\n{said}")


def _fingerprint(compiler: str, options: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for part in (_version(compiler), *options, platform.machine(), _processor()):
        digest.update(part.encode() + b"\0")
    for source in sorted(SOURCES.iterdir()):
        if source.suffix in (".cpp", ".h"):
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def _version(compiler: str) -> str:
    try:
        return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildFailed(f"{compiler} does not run: {error}") from error


def _processor() -> str:
    """What -march=native depends on: the processor's model and abilities, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    telling = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.split("\t")[0].strip() in telling}))
