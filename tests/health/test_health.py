"""What the platform says of its own health."""

import time
from datetime import timedelta

import pytest
import redis

from inference.schema import Usage
from tests.billing.conftest import TTL
from webapp import platform_metrics
from webapp.billing import holds


@pytest.fixture
def broker(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


def beat(broker):
    broker.set("platform:heartbeat:celery", "now", ex=5)


def test_the_process_is_alive_whatever_the_rest_does(client, settings):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    assert client.get("/healthz").status_code == 200


def test_ready_means_that_every_part_works(client, broker, scripted_model):
    beat(broker)
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ready")
    assert all(part["ok"] for part in response.json()["parts"].values())


def test_a_silent_celery_worker_is_named_with_what_to_do(client, scripted_model):
    response = client.get("/readyz")
    celery = response.json()["parts"]["celery"]
    assert response.status_code == 503
    assert not celery["ok"]
    assert "manage.py up" in celery["remedy"]


def test_a_redis_that_is_away_is_named(client, settings, scripted_model):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    parts = client.get("/readyz").json()["parts"]
    assert (parts["database"]["ok"], parts["redis"]["ok"], parts["celery"]["ok"]) == (True, False, False)
    assert "REDIS_URL" in parts["redis"]["remedy"]


def test_a_local_model_needs_a_ready_inference_worker(client, broker, scripted_model):
    beat(broker)
    scripted_model.backend, scripted_model.upstream_name = "local", "tiny"
    scripted_model.save()
    worker = {"model": "tiny", "state": "loading", "num_running": 0, "num_waiting": 0}
    broker.hset("inference:worker:w1", mapping=worker)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "tiny" in response.json()["parts"]["backend"]["detail"]
    broker.hset("inference:worker:w1", "state", "ready")
    assert client.get("/readyz").status_code == 200


def test_without_a_model_on_offer_nothing_is_ready(client, broker, db):
    beat(broker)
    assert "seed" in client.get("/readyz").json()["parts"]["backend"]["remedy"]


def test_metrics_count_tokens_turns_queue_and_workers(client, broker, scripted_model, alice, monkeypatch):
    monkeypatch.setattr(platform_metrics, "SETTLED_FOR", timedelta(0))
    hold = holds.place(alice, model=scripted_model, max_input_tokens=1, max_output_tokens=1, ttl=TTL)
    usage = Usage(input_uncached_tokens=3, input_cached_tokens=2, output_tokens=7, reasoning_tokens=4)
    holds.settle(hold.id, usage=usage, source="api", reference="r", finish_reason="stop")
    broker.xadd("inference:tiny:requests", {"m": "x"})
    worker = {"model": "tiny", "state": "ready", "num_running": 2, "num_waiting": 1}
    broker.hset("inference:worker:w1", mapping=worker)
    time.sleep(0.01)  # a record counts once the clock has passed it
    collected = {}
    for metric in platform_metrics.PlatformCollector().collect():
        for sample in metric.samples:
            collected[sample.name, *sample.labels.values()] = sample.value
    assert collected["platform_tokens_total", "scripted", "api", "output"] == 7
    assert collected["platform_tokens_total", "scripted", "api", "input_cached"] == 2
    assert collected["platform_usage_records_total", "scripted", "api", "stop"] == 1
    assert collected["platform_turns", "running"] == 0
    assert collected["platform_inference_queue_depth", "tiny"] == 1
    assert collected["platform_inference_running", "w1", "tiny"] == 2
    assert collected["platform_inference_ready", "w1", "tiny"] == 1


def test_the_metrics_page_answers_when_parts_are_down(client, settings, db):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    text = client.get("/metrics").content.decode()
    assert "platform_redis_up 0.0" in text
    assert "platform_database_up 1.0" in text
