"""A model whose own backend is away is answered by another, and billed once."""

import pytest

from inference.backends.scripted import Script
from tests.services import wait_until
from webapp.billing.models import Hold, UsageRecord
from webapp.catalog.models import ServedModel, Upstream


@pytest.fixture
def stand_in(upstream, scripted_model, settings):
    """The model's own address leads nowhere; the provider stands in for it."""
    settings.OPENAI_API_KEY = "sk-right"
    Upstream.objects.create(
        model=scripted_model, backend="openai_compatible", upstream_name="scripted",
        base_url=upstream.base_url, api_key_env="OPENAI_API_KEY", thinking_dialect="none",
    )  # fmt: skip
    ServedModel.objects.filter(pk=scripted_model.pk).update(base_url="http://127.0.0.1:9/v1")
    return upstream


def test_another_upstream_answers_and_one_bill_is_written(ask, stand_in):
    stand_in.script = Script.of("text: It is 4.")
    assert ask().choices[0].message.content == "It is 4."
    pieces = [piece.choices[0].delta.content for piece in ask(stream=True) if piece.choices]
    assert "".join(filter(None, pieces)) == "It is 4."
    wait_until(lambda: UsageRecord.objects.count() == 2, within_s=30, what="both bills")
    assert not Hold.objects.filter(status=Hold.Status.OPEN).exists()
