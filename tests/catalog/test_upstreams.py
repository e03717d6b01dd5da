"""A model with several upstreams: as an operator sets them, and as a turn and the API use them."""

import pytest
from django.test import Client

from inference.backends.base import BackendUnavailable
from inference.backends.routed import RoutedBackend
from tests.backends.asking import ask, collect
from tests.backends.upstream import Provider, serve
from tests.services import wait_until
from webapp.accounts.models import AuditEntry, User
from webapp.catalog import backends, seeds, upstream_health
from webapp.catalog.models import ServedModel, Upstream
from webapp.platform_metrics import PlatformCollector

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(settings) -> ServedModel:
    settings.OPENAI_API_KEY = "sk-right"
    return ServedModel.objects.create(
        name="kimi", label="Kimi", backend="openai_compatible", upstream_name="kimi",
        base_url="http://127.0.0.1:9/v1", api_key_env="OPENAI_API_KEY", context_tokens=1000,
        max_output_tokens=100, thinking_dialect="none",
    )  # fmt: skip


def stand_in(model: ServedModel, base_url: str, **options) -> Upstream:
    told = {
        "backend": "openai_compatible",
        "upstream_name": "other",
        "base_url": base_url,
        "api_key_env": "OPENAI_API_KEY",
        "thinking_dialect": "none",
    }
    return Upstream.objects.create(model=model, **told | options)


def test_a_models_row_tells_its_upstreams(model):
    assert model.more_upstreams == []
    upstream = stand_in(model, "http://b/v1", rank=2)
    first = stand_in(model, "http://a/v1", rank=0, weight=3)
    model.refresh_from_db()
    assert [(told.pk, told.rank, told.weight) for told in backends.upstreams_of(model)] == [
        (first.pk, 0, 3),
        (upstream.pk, 2, 1),
    ]
    before = backends.recipe_of(model)
    upstream.is_active = False
    upstream.save()
    first.delete()
    model.refresh_from_db()
    assert model.more_upstreams == []
    assert backends.recipe_of(model) != before


async def test_a_dead_upstream_is_passed_by_and_told_of(model, redis_url):
    from asgiref.sync import sync_to_async

    with serve(Provider()) as provider:
        await sync_to_async(stand_in)(model, provider.base_url)
        await model.arefresh_from_db()
        backend = backends.backend_for(model)
        assert isinstance(backend, RoutedBackend)
        assert (await collect(backend, ask())).content == "ok"
        assert provider.bodies[0]["model"] == "other"
        await backend.aclose()

    def told() -> list[tuple[str, int]]:
        return [(health.name, health.num_faults) for health in upstream_health.all_told()]

    await sync_to_async(wait_until)(lambda: told() == [("Kimi", 1)], within_s=20, what="the fault")
    health = await sync_to_async(upstream_health.of)("Kimi")
    assert health is not None
    assert "cannot be reached" in health.fault
    metrics = await sync_to_async(lambda: {metric.name: metric for metric in PlatformCollector().collect()})()
    assert [sample.value for sample in metrics["platform_upstream_faults"].samples] == [1]


def test_an_upstream_that_lacks_its_key_is_left_out(model, settings):
    model.api_key_env = "MISSING_API_KEY"
    model.save()
    with pytest.raises(BackendUnavailable, match="MISSING_API_KEY"):
        backends.backend_for(model)
    stand_in(model, "http://b/v1")
    model.refresh_from_db()
    assert isinstance(backends.backend_for(model), RoutedBackend)
    Upstream.objects.update(api_key_env="GONE_API_KEY")
    Upstream.objects.get().save()
    model.refresh_from_db()
    with pytest.raises(BackendUnavailable, match="MISSING_API_KEY"):
        backends.backend_for(model)


def test_a_model_is_on_offer_when_another_upstream_serves_it(settings):
    seeds.seed()
    hosted = ServedModel.objects.get(name="kimi-k2-thinking")
    assert not hosted.is_configured
    settings.OPENAI_API_KEY = "sk-right"
    stand_in(hosted, "http://b/v1")
    seeds.seed()
    hosted.refresh_from_db()
    assert hosted.is_configured
    assert hosted in ServedModel.objects.offered()


def test_an_operator_sets_upstreams_in_the_panel(model, redis_url):
    operator = User.objects.create_superuser("root", password="x")
    client = Client()
    client.force_login(operator)
    address = f"/admin/catalog/servedmodel/{model.pk}/change/"
    page = client.get(address)
    assert "no fault within a day" in page.content.decode()
    form = page.context["adminform"].form
    told = {name: value for name, value in form.initial.items() if value is not None}
    inline = {
        "upstreams-TOTAL_FORMS": 1, "upstreams-INITIAL_FORMS": 0,
        "upstreams-0-backend": "openai_compatible", "upstreams-0-upstream_name": "kimi-b",
        "upstreams-0-base_url": "http://b/v1", "upstreams-0-thinking_dialect": "none",
        "upstreams-0-output_parser": "theirs", "upstreams-0-rank": 1, "upstreams-0-weight": 0,
        "upstreams-0-is_active": "on",
    }  # fmt: skip
    refused = client.post(address, told | inline)
    assert refused.status_code == 200, "a weight is at least 1"
    saved = client.post(address, told | inline | {"upstreams-0-weight": 2})
    assert saved.status_code == 302
    model.refresh_from_db()
    assert [upstream["upstream_name"] for upstream in model.more_upstreams] == ["kimi-b"]
    assert AuditEntry.objects.filter(kind="upstream", action="created").exists()
