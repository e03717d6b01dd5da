"""Pulling a whole repository from a hub that stands in for the real one: resumed, checked, named last."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inference.checkpoints import BadModelFile, folder, hub, random_model, verification
from tests import services
from tests.inference.checkpoints import stand_in_hub
from tests.inference.checkpoints.stand_in_hub import StandIn


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    path = random_model.write(tmp_path / "published", random_model.k2_like(), stored="int4")
    with stand_in_hub.serving(path) as hub:
        yield hub


def test_a_repository_s_weights_and_no_code_are_pulled(stand_in: StandIn, tmp_path: Path) -> None:
    path = hub.pull("someone/k2", tmp_path / "models", endpoint=stand_in.endpoint)
    assert path == tmp_path / "models" / "k2"
    assert folder.read(path).tensors
    assert not (path / "modeling_kimi.py").exists()
    assert verification.faults(path) == []
    (path / "config.json").write_text((path / "config.json").read_text() + " ")
    assert any(
        "config.json is not the file that the hub sent" in fault for fault in verification.faults(path)
    )


def test_an_interrupted_pull_leaves_no_model_and_goes_on_where_it_stopped(
    stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.broken = {"model.safetensors"}
    with pytest.raises(hub.PullFailed, match="pull again"):
        hub.pull("someone/k2", tmp_path / "models", endpoint=stand_in.endpoint)
    assert not (tmp_path / "models" / "k2").exists()
    stand_in.broken = set()
    hub.pull("someone/k2", tmp_path / "models", endpoint=stand_in.endpoint)
    assert sorted(stand_in.fetched) == [("config.json", 0), ("model.safetensors", 0)]  # neither of them twice
    stand_in.fetched = []
    hub.pull("someone/k2", tmp_path / "models", endpoint=stand_in.endpoint)
    assert stand_in.fetched == []


def test_a_file_that_breaks_off_goes_on_from_what_was_kept(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)  # so much at once is kept
    stand_in.cut_once = {"model.safetensors"}
    path = hub.pull("someone/k2", tmp_path / "models", endpoint=stand_in.endpoint)
    half = len(stand_in.files["model.safetensors"]) // 2
    asked = [start for name, start in stand_in.fetched if name == "model.safetensors"]
    assert asked == [0, half // 4096 * 4096]
    assert verification.faults(path) == []


def test_a_repository_without_a_checkpoint_is_refused(stand_in: StandIn, tmp_path: Path) -> None:
    del stand_in.files["model.safetensors"]
    with pytest.raises(BadModelFile, match=r"no model\.safetensors"):
        hub.pull("someone/k2", tmp_path / "models", endpoint=stand_in.endpoint)
    assert not (tmp_path / "models" / "k2").exists()


def test_a_folder_of_another_repository_or_revision_is_not_taken_for_it(
    stand_in: StandIn, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    hub.pull("someone/k2", models, endpoint=stand_in.endpoint)
    for repository, revision in (("another/k2", None), ("someone/k2", "v2")):
        with pytest.raises(hub.PullFailed, match="holds someone/k2 main.*move or remove it"):
            hub.pull(repository, models, revision=revision, endpoint=stand_in.endpoint)
    (models / "by-hand").mkdir()
    assert hub.pull("another/by-hand", models, endpoint=stand_in.endpoint) == models / "by-hand"


def test_two_pulls_at_once_fetch_each_file_once(stand_in: StandIn, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        pulls = [
            pool.submit(hub.pull, "someone/k2", tmp_path / "models", endpoint=stand_in.endpoint)
            for _ in range(2)
        ]
    assert {pull.result() for pull in pulls} == {tmp_path / "models" / "k2"}
    assert sorted(stand_in.fetched) == [("config.json", 0), ("model.safetensors", 0)]


def test_a_repository_with_a_broken_index_is_refused(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.files["model.safetensors.index.json"] = b"{"
    with pytest.raises(BadModelFile, match="no JSON"):
        hub.pull("someone/k2", tmp_path / "models", endpoint=stand_in.endpoint)


def test_a_hub_that_nobody_answers_at_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(hub.PullFailed, match="HF_ENDPOINT"):
        hub.pull("someone/k2", tmp_path, endpoint=f"http://127.0.0.1:{services.free_port()}")


def test_only_owner_and_name_are_a_repository() -> None:
    assert hub.is_repository("moonshotai/Kimi-K2-Thinking")
    for other in ("smollm2", "a/b/c", "/models/k2", "../k2"):
        assert not hub.is_repository(other)
