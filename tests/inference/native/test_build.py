"""The native library is built once, by this machine's own compiler, and says so where it cannot be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.native import build, library

ROOT = Path(__file__).resolve().parents[3]
SOURCE = 'extern "C" __attribute__((visibility("default"))) int answer() { return 42; }\n'


@pytest.fixture
def small_source(tmp_path, monkeypatch):
    """Sources that compile in a moment."""
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "answer.cpp").write_text(SOURCE)
    monkeypatch.setattr(build, "SOURCES", folder)
    return folder / "answer.cpp"


def test_a_second_start_finds_the_library_of_the_first(small_source, tmp_path):
    first = build.build(cache=tmp_path / "cache")
    built_at = first.stat().st_mtime_ns
    assert build.build(cache=tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == built_at
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_a_damaged_library_is_named_with_what_to_do(small_source, tmp_path):
    built = build.build(cache=tmp_path)
    built.write_bytes(b"torn")
    with pytest.raises(build.BuildFailed, match=f"delete {built}"):
        library.load(built)


def test_a_changed_source_or_processor_is_built_anew(small_source, tmp_path):
    first = build.build(cache=tmp_path)
    assert build.build(cache=tmp_path, march="x86-64") != first
    small_source.write_text(SOURCE.replace("42", "43"))
    assert build.build(cache=tmp_path) != first


def test_code_that_does_not_compile_is_refused_with_what_the_compiler_says(small_source, tmp_path):
    small_source.write_text("int answer() { return forty_two; }\n")
    with pytest.raises(build.BuildFailed, match="forty_two"):
        build.build(cache=tmp_path)
    assert list(tmp_path.glob("*.so")) == []


def test_without_a_compiler_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(build.BuildFailed, match="install g\\+\\+ or clang"):
        build.build(cache=tmp_path)


def test_a_cache_that_cannot_be_written_names_the_setting(small_source, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(build.BuildFailed, match="KERNEL_CACHE"):
        build.build(cache=tmp_path / "file")


def test_workers_that_start_at_once_build_once(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "answer.cpp").write_text(SOURCE)
    program = (
        "import logging; from pathlib import Path; from inference.native import build;"
        "logging.basicConfig(level='INFO');"
        f"build.SOURCES = Path({str(tmp_path / 'src')!r});"
        f"print(build.build(cache=Path({str(tmp_path / 'cache')!r})))"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [worker.communicate(timeout=60) for worker in workers]
    assert {worker.returncode for worker in workers} == {0}
    assert len({out for out, _ in said}) == 1
    assert sum(log.count("built the native kernels") for _, log in said) == 1
