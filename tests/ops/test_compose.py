"""docker-compose.yml and Dockerfile: every part is there, healthy before others need it, secrets asked."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
SECRETS = {"SECRET_KEY": "s" * 50, "POSTGRES_PASSWORD": "p"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_every_process_of_the_platform_is_a_service(compose: dict[str, Any]) -> None:
    assert {"web", "worker", "beat", "redis", "postgres", "inference"} <= compose["services"].keys()


def test_the_gpu_worker_waits_behind_its_profile_alone(compose: dict[str, Any]) -> None:
    behind = {name: row["profiles"] for name, row in compose["services"].items() if "profiles" in row}
    assert behind == {"inference-gpu": ["gpu"]}


def test_who_waits_for_health_waits_for_a_service_that_tells_it(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services, f"{name} needs {needed}"
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed], f"{name} waits for {needed}"


def test_what_must_last_lies_on_a_declared_volume(compose: dict[str, Any]) -> None:
    named = {
        volume.partition(":")[0] for row in compose["services"].values() for volume in row.get("volumes", ())
    }
    assert named == set(compose["volumes"])
    assert compose["services"]["redis"]["command"][1:3] == ["--appendonly", "yes"]


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for secret in SECRETS:
        assert re.search(rf"\$\{{{secret}:\?", text), f"{secret} must be demanded"
        assert f"${{{secret}:-" not in text


def test_services_build_from_stages_that_exist_and_the_web_image_holds_no_torch(
    compose: dict[str, Any],
) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    by_name = {stage.split()[2]: stage for stage in stages}
    wanted = {row["build"]["target"] for row in compose["services"].values() if "build" in row}
    assert wanted == {"web", "inference", "gpu"}
    assert wanted <= by_name.keys()
    assert "torch" not in by_name["base"] + by_name["web"]
    assert "g++" in by_name["engine-room"], "the worker builds its kernels where it runs"
    assert by_name["inference"].split()[0] == by_name["gpu"].split()[0] == "engine-room"
    assert ".[cpu]" in by_name["inference"]
    assert ".[gpu]" in by_name["gpu"]


def test_settings_know_every_variable_that_compose_sets(compose: dict[str, Any]) -> None:
    settings = (ROOT / "webapp" / "settings.py").read_text()
    for name in compose["x-environment"]:
        assert f'"{name}"' in settings, f"{name} is no setting"


def test_the_compose_client_accepts_the_file() -> None:
    """Where the client is at hand; it needs no engine for this."""
    for command in (["docker", "compose"], ["docker-compose"]):
        client = shutil.which(command[0])
        if client and subprocess.run([*command, "version"], check=False, capture_output=True).returncode == 0:
            checked = subprocess.run(
                [*command, "-f", str(ROOT / "docker-compose.yml"), "config", "--quiet"],
                check=False,
                capture_output=True,
                text=True,
                env={**os.environ, **SECRETS},
            )
            assert checked.returncode == 0, checked.stderr
            return


ENGINES = sorted((ROOT / "deploy").glob("*.yml"))


@pytest.mark.parametrize("path", ENGINES, ids=lambda path: path.stem)
def test_an_engine_beside_the_platform_is_what_every_part_is_pointed_to(
    path: Path, compose: dict[str, Any]
) -> None:
    overlay = yaml.safe_load(path.read_text())
    [engine] = overlay["services"].keys() - compose["services"].keys()
    ours = {
        name for name, row in compose["services"].items() if "OPENAI_BASE_URL" in row.get("environment", {})
    }
    assert ours - {"inference-gpu"} == overlay["services"].keys() - {engine}
    for name in overlay["services"].keys() - {engine}:
        said = overlay["services"][name]["environment"]
        assert said["MODEL"] == "none"
        assert re.fullmatch(rf"http://{engine}:\d+/v1", said["OPENAI_BASE_URL"])


def test_the_guide_and_the_compose_files_start_engines_with_the_same_flags() -> None:
    guide = (ROOT / "deploy" / "engines.md").read_text()
    for path in ENGINES:
        services = yaml.safe_load(path.read_text())["services"]
        for word in services[path.stem].get("command", ()):
            flag = str(word).partition("=")[0]
            if flag.startswith("--") and flag != "--host":
                assert flag in guide, f"{flag} of {path.name}"
