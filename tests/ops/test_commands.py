"""seed, apikey, models and doctor, as an operator calls them."""

import os
import stat
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from inference import registry
from inference.checkpoints import random_model
from tests.inference.checkpoints import stand_in_hub
from webapp.accounts import keys
from webapp.accounts.models import User
from webapp.billing.models import Account, Price
from webapp.catalog.models import ServedModel
from webapp.management import first_run

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.django_db


def said_by(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_first_seed_makes_an_admin_and_a_demo_user_with_credit(
    settings: Settings, tmp_path: Path
) -> None:
    settings.VAR_DIR = tmp_path
    logins = dict(line.split() for line in said_by("seed").splitlines())
    assert logins.keys() == {"admin", "demo"}
    admin, demo = (User.objects.get(username=name) for name in ("admin", "demo"))
    assert admin.is_superuser
    assert not demo.is_staff
    assert admin.check_password(logins["admin"])
    assert demo.check_password(logins["demo"])
    assert Account.objects.get(user=demo).balance_nano >= 20 * 10**9
    kept = tmp_path / first_run.PASSWORDS_FILE
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert logins["demo"] in kept.read_text()


def test_a_second_seed_changes_and_shows_nothing(settings: Settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    said_by("seed")
    before = list(User.objects.values()), list(ServedModel.objects.values()), list(Price.objects.values())
    assert said_by("seed") == ""
    assert before == (
        list(User.objects.values()),
        list(ServedModel.objects.values()),
        list(Price.objects.values()),
    )


def test_an_installation_that_has_users_gets_no_new_ones(alice: User) -> None:
    assert said_by("seed") == ""
    assert list(User.objects.all()) == [alice]


def test_seeds_hold_the_price_list_and_offer_only_what_can_answer(settings: Settings, alice: User) -> None:
    settings.MODEL = "smollm2"
    said_by("seed")
    kimi = Price.objects.get(model__name="kimi-k2-thinking", currency="CNY")
    assert [kimi.input_per_million, kimi.cached_input_per_million, kimi.output_per_million] == [4, 1, 16]
    turbo = Price.objects.get(model__name="kimi-k2-thinking-turbo", currency="USD")
    assert str(turbo.output_per_million.normalize()) == "8"
    offered = {model.upstream_name for model in ServedModel.objects.offered()}
    assert "smollm2" in offered
    assert "kimi-k2-thinking" not in offered


def test_without_a_local_model_none_is_offered(settings: Settings, alice: User) -> None:
    settings.MODEL = "none"
    said_by("seed")
    assert not ServedModel.objects.offered().filter(backend=ServedModel.Backend.LOCAL).exists()


def test_apikey_prints_a_secret_once_that_opens_the_api_for_that_user(alice: User) -> None:
    secret = said_by("apikey", "create", "--user", "alice").strip()
    assert secret.startswith("sk-")
    found = keys.authenticate(secret)
    assert found is not None
    assert found.user == alice
    assert secret not in str(list(alice.api_keys.values()))


def test_apikey_for_nobody_is_refused_by_name() -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("apikey", "create", "--user", "nobody")


def test_models_lists_names_sizes_and_licences(settings: Settings, tmp_path: Path) -> None:
    settings.MODELS_DIR = tmp_path
    lines = said_by("models", "list").splitlines()
    assert len(lines) == len(registry.load())
    assert all("Apache-2.0" in line and "not fetched" in line for line in lines)


def test_models_pull_refuses_a_copy_that_is_another_file(settings: Settings, tmp_path: Path) -> None:
    settings.MODELS_DIR = tmp_path / "models"
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"not a model")
    with pytest.raises(CommandError, match="SHA-256"):
        call_command("models", "pull", "smollm2", "--path", str(wrong))
    with pytest.raises(CommandError, match="no model 'gpt-9'"):
        call_command("models", "pull", "gpt-9")


def test_models_pull_takes_a_repository_of_a_hub_and_the_tools_take_its_name(tmp_path: Path) -> None:
    """As an operator's shell runs them: HF_ENDPOINT is read when the hub's client is first imported."""
    published = random_model.write(tmp_path / "published", random_model.k2_like(), stored="int4")
    with stand_in_hub.serving(published) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "MODELS_DIR": str(tmp_path / "models")}

        def say(*words: str) -> str:
            command = [sys.executable, str(ROOT / "manage.py"), "models", *words]
            return subprocess.run(
                command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
            ).stdout

        assert say("pull", "someone/k2").strip() == str(tmp_path / "models" / "k2")
        assert "k2 " in say("list")
        assert "1 GB hold it" in say("inspect", "k2", "--memory", "1")
        assert "plain f32" in say("convert", "k2", "plain", "--dtype", "f32")
        assert (tmp_path / "plain" / "model.safetensors").exists()


def test_verify_notices_that_a_model_of_the_registry_is_another_file(
    settings: Settings, tmp_path: Path
) -> None:
    settings.MODELS_DIR = tmp_path
    registry.entry("smollm2").path(tmp_path).write_bytes(b"not the model")
    with pytest.raises(CommandError, match="pull smollm2 again"):
        call_command("models", "verify", "smollm2")


def test_a_tool_that_fails_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="verify of .*nothing failed"):
        call_command("models", "verify", str(tmp_path / "nothing"))
    assert "is not there" in capfd.readouterr().err


def test_doctor_names_what_is_missing_and_how_to_fix_it(settings: Settings, tmp_path: Path) -> None:
    settings.MODELS_DIR, settings.MODEL = tmp_path, "smollm2"
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", stdout=out)
    assert ended.value.code == 1
    assert "manage.py models pull smollm2" in out.getvalue()


def test_doctor_is_content_with_a_machine_that_can_run(settings: Settings) -> None:
    settings.MODEL = "none"
    assert "FIX" not in said_by("doctor")
