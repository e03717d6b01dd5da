"""The catalogue follows the environment at each start and leaves the operator's edits alone."""

from decimal import Decimal

import pytest

from inference import registry
from inference.backends.base import BackendUnavailable
from inference.backends.local import LocalBackend
from inference.backends.scripted import Script, ScriptedBackend
from tests.backends import stands
from tests.backends.asking import ask, collect
from tests.backends.upstream import Provider, serve
from webapp.billing import seeds as prices
from webapp.billing.models import Price
from webapp.catalog import backends, seeds
from webapp.catalog.models import ServedModel


@pytest.fixture(autouse=True)
def _bare(db, settings):
    settings.SCRIPT_FILE = settings.MOONSHOT_API_KEY = ""
    settings.OPENAI_BASE_URL = settings.OPENAI_MODEL = settings.OPENAI_API_KEY = ""


def offered():
    return [model.name for model in seeds.seed()]


def test_a_fresh_platform_offers_the_local_model_alone_under_its_own_name():
    assert offered() == ["qwen2.5-coder-1.5b"]
    names = set(ServedModel.objects.values_list("name", flat=True))
    assert names == {"qwen2.5-coder-1.5b", "smollm2-135m", "kimi-k2-thinking", "kimi-k2-thinking-turbo"}


def test_seeding_again_changes_nothing():
    seeds.seed()
    prices.seed()
    rows = list(ServedModel.objects.values()), list(Price.objects.values())
    assert offered() == ["qwen2.5-coder-1.5b"]
    assert prices.seed() == 0
    assert rows == (list(ServedModel.objects.values()), list(Price.objects.values()))


def test_a_key_wakes_the_hosted_models_and_their_loss_puts_them_back_to_sleep(settings):
    settings.MOONSHOT_API_KEY = "sk-test"
    assert offered() == ["kimi-k2-thinking", "kimi-k2-thinking-turbo", "qwen2.5-coder-1.5b"]
    settings.MOONSHOT_API_KEY = ""
    assert offered() == ["qwen2.5-coder-1.5b"]


def test_the_operators_edits_outlive_a_restart(settings):
    settings.MOONSHOT_API_KEY = "sk-test"
    seeds.seed()
    prices.seed()
    ServedModel.objects.filter(name="kimi-k2-thinking").update(
        label="Ours", system_prompt="Be kind.", is_active=False, position=7
    )
    Price.objects.update(output_per_million=9)
    assert offered() == ["kimi-k2-thinking-turbo", "qwen2.5-coder-1.5b"]
    prices.seed()
    kimi = ServedModel.objects.get(name="kimi-k2-thinking")
    assert (kimi.label, kimi.system_prompt, kimi.position) == ("Ours", "Be kind.", 7)
    assert set(Price.objects.values_list("output_per_million", flat=True)) == {Decimal(9)}


def test_the_local_model_is_the_one_that_is_chosen(settings):
    settings.MODEL = "smollm2"
    assert offered() == ["smollm2-135m"]
    settings.MODEL = "nothing-like-it"
    with pytest.raises(registry.UnknownModel, match="nothing-like-it"):
        seeds.seed()


def test_a_model_that_is_named_by_its_path_is_offered_under_its_files_name(settings, tmp_path):
    path = tmp_path / "My model.Q4_0.gguf"
    path.touch()
    settings.MODEL = str(path)
    assert offered() == ["My-model.Q4_0"]
    row = ServedModel.objects.get(name="My-model.Q4_0")
    assert row.upstream_name == registry.served_name(str(path)) == "My model.Q4_0"
    row.full_clean()


def test_a_model_whose_weights_are_few_is_small(settings, tmp_path):
    path = tmp_path / "little.gguf"
    path.touch()
    settings.MODEL = str(path)
    seeds.seed()
    big = tmp_path / "big"
    big.mkdir()
    with (big / "model.safetensors").open("wb") as file:
        file.truncate(seeds.SMALL_BYTES)
    settings.MODEL = str(big)
    seeds.seed()
    small = set(ServedModel.objects.filter(is_small=True).values_list("name", flat=True))
    assert small == {"qwen2.5-coder-1.5b", "smollm2-135m", "little"}


@pytest.mark.parametrize(("parser", "content"), [("theirs", "hm</think>So."), ("ours", "So.")])
async def test_the_catalogue_says_whose_parser_reads_a_providers_text(settings, parser, content):
    settings.OPENAI_API_KEY = "sk-right"
    with serve(Provider()) as provider:
        provider.script = Script.of("text: hm</think>So.")
        row = ServedModel(
            label="K", backend="openai_compatible", upstream_name="scripted", base_url=provider.base_url,
            thinking_dialect="always", output_parser=parser, api_key_env="OPENAI_API_KEY",
        )  # fmt: skip
        backend = backends.backend_for(row)
        assert (await collect(backend, ask())).content == content
        await backend.aclose()


async def test_a_tier_goes_before_its_model_with_our_own_workers(redis_url):
    """By way of the real queue and worker; that their engine heeds it stands in its scheduler's tests."""
    rows = [
        ServedModel(name=f"m{rank}", backend="local", upstream_name=stands.MODEL, priority=rank)
        for rank in (0, 1)
    ]
    async with stands.local_stand(redis_url) as local:
        local.play("text: ok")
        ranks = []
        add = local.engine.add

        def noting(sequence):
            ranks.append(sequence.priority)
            add(sequence)

        local.engine.add = noting  # type: ignore[method-assign]  # the worker's last word to the engine
        for row in rows:
            backend = backends.backend_for(row)
            assert (await collect(backend, ask())).content == "ok"
            await backend.aclose()
    assert ranks == [0, 1]
    assert backends.recipe_of(rows[0]) != backends.recipe_of(rows[1])


def test_the_turbo_tier_that_ships_is_one():
    seeds.seed()
    turbo, plain = (ServedModel.objects.get(name=f"kimi-k2-thinking{tier}") for tier in ("-turbo", ""))
    assert turbo.priority > plain.priority


def test_a_providers_model_follows_its_variables(settings):
    settings.OPENAI_BASE_URL, settings.OPENAI_MODEL = "http://gpu:8000/v1", "moonshotai/Kimi-K2-Thinking"
    assert offered()[0] == "moonshotai/Kimi-K2-Thinking"
    settings.OPENAI_BASE_URL, settings.OPENAI_MODEL = "http://other/v1", "kimi-k2-thinking"
    assert offered() == ["kimi-k2-thinking@provider", "qwen2.5-coder-1.5b"]
    row = ServedModel.objects.get(name="kimi-k2-thinking@provider")
    assert (row.upstream_name, row.base_url) == ("kimi-k2-thinking", "http://other/v1")
    assert row.thinking_dialect == "always"


def test_the_price_list():
    seeds.seed()
    prices.seed()
    listed = {
        (price.model.name, price.currency): tuple(
            str(float(rate))
            for rate in (price.input_per_million, price.cached_input_per_million, price.output_per_million)
        )
        for price in Price.objects.select_related("model")
    }
    assert listed["kimi-k2-thinking", "CNY"] == ("4.0", "1.0", "16.0")
    assert listed["kimi-k2-thinking-turbo", "CNY"] == ("8.0", "1.0", "58.0")
    assert listed["kimi-k2-thinking", "USD"] == ("0.6", "0.15", "2.5")
    assert listed["kimi-k2-thinking-turbo", "USD"] == ("1.15", "0.15", "8.0")
    assert listed["qwen2.5-coder-1.5b", "USD"] == ("0.0", "0.0", "0.0")


async def test_each_model_gets_its_backend_or_hears_what_it_lacks(settings, scripted_model):
    local = ServedModel(label="L", backend="local", upstream_name="l")
    backend = backends.backend_for(local)
    assert isinstance(backend, LocalBackend)
    await backend.aclose()
    with pytest.raises(BackendUnavailable, match="SCRIPT_FILE"):
        backends.backend_for(scripted_model)
    settings.SCRIPT_FILE = "/nowhere.json"
    assert isinstance(backends.backend_for(scripted_model), ScriptedBackend)
    hosted = ServedModel(
        label="Kimi", backend="openai_compatible", base_url="http://x/v1", api_key_env="MOONSHOT_API_KEY"
    )
    with pytest.raises(BackendUnavailable, match="MOONSHOT_API_KEY"):
        backends.backend_for(hosted)


def test_only_keys_are_read_from_the_environment(settings, monkeypatch):
    settings.MOONSHOT_API_KEY = "sk-moon"
    monkeypatch.setenv("HOME_API_KEY", "sk-home")
    assert backends.provider_key("MOONSHOT_API_KEY") == "sk-moon"
    assert backends.provider_key("HOME_API_KEY") == "sk-home"
    assert backends.provider_key("SECRET_KEY") == backends.provider_key("PATH") == ""
