"""What the platform says of its own health."""

import asyncio
import time
from datetime import timedelta

import pytest
import redis
from django.conf import settings

from inference.request_queue.messages import BOUNDS, Heartbeat, Histogram, WorkerState
from inference.request_queue.redis_streams import RedisTransport
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


def inference_worker(broker, **facts):
    """A heartbeat as the worker `w1` of the model `tiny` writes it."""
    heartbeat = Heartbeat(worker_id="w1", model="tiny", pid=1, **{"state": WorkerState.READY} | facts)

    async def write():
        transport = RedisTransport(settings.REDIS_URL)
        await transport.beat(heartbeat)
        await transport.aclose()

    asyncio.run(write())


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


def backend(client):
    return client.get("/readyz").json()["parts"]["backend"]


def test_a_local_model_needs_a_ready_inference_worker(client, broker, scripted_model):
    beat(broker)
    scripted_model.backend, scripted_model.upstream_name = "local", "tiny"
    scripted_model.save()
    assert "no inference worker is ready for tiny" in backend(client)["detail"]
    inference_worker(broker, state=WorkerState.LOADING, progress=0.4)
    assert "is ready for tiny (one loads: 40%)" in backend(client)["detail"]
    assert client.get("/readyz").status_code == 503
    inference_worker(broker, kernel="native avx512-vnni", self_test="passed")
    assert client.get("/readyz").status_code == 200
    assert "tiny with native avx512-vnni, self-test passed" in backend(client)["detail"]


def test_without_a_model_on_offer_nothing_is_ready(client, broker, db):
    beat(broker)
    assert "seed" in client.get("/readyz").json()["parts"]["backend"]["remedy"]


def test_metrics_count_tokens_turns_queue_and_workers(client, broker, scripted_model, alice, monkeypatch):
    monkeypatch.setattr(platform_metrics, "SETTLED_FOR", timedelta(0))
    hold = holds.place(alice, model=scripted_model, max_input_tokens=1, max_output_tokens=1, ttl=TTL)
    usage = Usage(input_uncached_tokens=3, input_cached_tokens=2, output_tokens=7, reasoning_tokens=4)
    holds.settle(hold.id, usage=usage, source="api", reference="r", finish_reason="stop")
    time.sleep(0.01)  # a record counts once the clock has passed it
    collected = collect()
    assert collected["platform_tokens_total", "scripted", "api", "output"] == 7
    assert collected["platform_tokens_total", "scripted", "api", "input_cached"] == 2
    assert collected["platform_usage_records_total", "scripted", "api", "stop"] == 1
    assert collected["platform_turns", "running"] == 0


def collect():
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in platform_metrics.PlatformCollector().collect()
        for sample in metric.samples
    }


def test_metrics_tell_of_each_inference_worker(client, broker, db):
    bounds = BOUNDS["ttft_s"]
    ttft = Histogram(counts=(0, 2, *[0] * (len(bounds) - 2), 1), total=400.5)
    inference_worker(
        broker, kernel="native", self_test="passed", num_running=2, num_blocks_cached=5,
        output_tokens_total=7, histograms={"ttft_s": ttft},
    )  # fmt: skip
    broker.xadd("inference:tiny:requests", {"m": "x"})
    broker.sadd("inference:tiny:owners", "w1")
    broker.xadd("inference:tiny:requests:w1", {"m": "x"})
    collected = collect()
    assert collected["platform_inference_queue_depth", "tiny"] == 2
    assert collected["platform_inference_running", "w1", "tiny"] == 2
    assert collected["platform_inference_ready", "w1", "tiny"] == 1
    assert collected["platform_inference_kernel", "w1", "tiny", "native", "passed"] == 1
    assert collected["platform_inference_kv_blocks", "w1", "tiny", "cached"] == 5
    assert collected["platform_inference_tokens_total", "w1", "tiny", "output"] == 7
    name = "platform_inference_time_to_first_token_seconds"
    bucket = [collected[f"{name}_bucket", "w1", "tiny", str(bound)] for bound in (*bounds, "+Inf")]
    assert (bucket[0], bucket[1], bucket[-2], bucket[-1]) == (0, 2, 2, 3)
    assert collected[f"{name}_sum", "w1", "tiny"] == 400.5
    text = client.get("/metrics").content.decode()
    assert f'{name}_count{{model="tiny",worker="w1"}} 3.0' in text


def test_neither_page_walks_over_all_keys(client, broker, scripted_model):
    scripted_model.backend, scripted_model.upstream_name = "local", "tiny"
    scripted_model.save()
    inference_worker(broker)
    broker.config_resetstat()
    for page in ("/readyz", "/metrics"):
        client.get(page)
    assert not {"cmdstat_scan", "cmdstat_keys"} & broker.info("commandstats").keys()


def test_the_metrics_page_answers_when_parts_are_down(client, settings, db):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    text = client.get("/metrics").content.decode()
    assert "platform_redis_up 0.0" in text
    assert "platform_database_up 1.0" in text
