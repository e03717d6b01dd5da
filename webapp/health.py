"""Is the platform alive, is it ready, and how is it doing: /healthz, /readyz and /metrics."""

import hmac
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from ipaddress import ip_address

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chat import code_tools
from chat.tasks import HEARTBEAT_KEY
from inference.request_queue import census
from inference.request_queue.messages import Heartbeat, WorkerState
from webapp.accounts import attempts
from webapp.api import metrics
from webapp.catalog.models import ServedModel
from webapp.platform_metrics import PlatformCollector

ANSWER_WITHIN_S = 1.0

metrics.REGISTRY.register(PlatformCollector())


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the platform: does it work, and if not, what to do."""

    ok: bool
    detail: str
    remedy: str = ""


def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers; of the others it says nothing: nobody restarts the web for a dead Redis."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Every part's state; 200 when a question asked now would be answered, else 503."""
    parts = {name: check() for name, check in CHECKS.items()}
    is_ready = all(part.ok for part in parts.values())
    body = {
        "status": "ready" if is_ready else "not ready",
        "parts": {name: asdict(part) for name, part in parts.items()},
    }
    return JsonResponse(body, status=200 if is_ready else 503)


@never_cache
def prometheus(request: HttpRequest) -> HttpResponse:
    """This process's own counts and the platform's, in Prometheus' text format: for who brings the token, or
    from this machine. 404 for others, who need not know of it."""
    if not _may_scrape(request):
        raise Http404
    return HttpResponse(generate_latest(metrics.REGISTRY), content_type=CONTENT_TYPE_LATEST)


def _may_scrape(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if settings.METRICS_TOKEN:
        return hmac.compare_digest(given.encode(), settings.METRICS_TOKEN.encode())
    try:
        # A socket of this machine has no address.
        return ip_address(attempts.address(request) or "127.0.0.1").is_loopback
    except ValueError:
        return False


def check_database() -> Part:
    started_at = time.perf_counter()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM catalog_servedmodel")
            cursor.fetchone()
    except DatabaseError as error:
        return Part(
            ok=False, detail=type(error).__name__, remedy="Check DATABASE_URL, then run: manage.py migrate"
        )
    return Part(ok=True, detail=f"{connection.vendor}, {(time.perf_counter() - started_at) * 1000:.1f} ms")


def check_redis() -> Part:
    try:
        with _client() as client:
            started_at = time.perf_counter()
            client.ping()
    except redis.RedisError as error:
        return Part(ok=False, detail=type(error).__name__, remedy="Check REDIS_URL and start Redis.")
    return Part(ok=True, detail=f"{(time.perf_counter() - started_at) * 1000:.1f} ms")


def check_celery() -> Part:
    """Beat rings each second and a worker answers by setting a key that lives for seconds: both must live."""
    remedy = "Start the Celery worker and beat: manage.py up, or the commands in the README."
    try:
        with _client() as client:
            is_beating = client.exists(HEARTBEAT_KEY)
    except redis.RedisError:
        return Part(ok=False, detail="unknown: Redis does not answer", remedy="Start Redis.")
    if not is_beating:
        return Part(ok=False, detail="no heartbeat of the Celery worker and beat", remedy=remedy)
    return Part(ok=True, detail="worker and beat")


def check_backend() -> Part:
    """A model is on offer, and those that our own workers serve have one."""
    try:
        offered = list(ServedModel.objects.offered())
        alone = [model for model in offered if not model.more_upstreams]
        local = {model.upstream_name for model in alone if model.backend == ServedModel.Backend.LOCAL}
        workers = _workers() if local else []
    except (DatabaseError, redis.RedisError):
        return Part(
            ok=False, detail="unknown: database or Redis does not answer", remedy="See the parts above."
        )
    if not offered:
        return Part(ok=False, detail="no model is on offer", remedy="Run: manage.py seed")
    served = {worker.model for worker in workers if worker.state is WorkerState.READY}
    if missing := local - served:
        return Part(
            ok=False,
            detail="; ".join(_absence(model, workers) for model in sorted(missing)),
            remedy="Wait while it loads, or start one: python -m inference.worker",
        )
    names = ", ".join(model.name for model in offered)
    return Part(ok=True, detail="; ".join([names, *(_kernel(one) for one in workers if one.model in local)]))


def check_code() -> Part:
    """Which sandbox code of models runs in. Without one, questions are answered without such tools."""
    tier = code_tools.known_tier()
    if tier is None:
        return Part(ok=True, detail="not tried yet: that is when a turn first may run code")
    return Part(ok=True, detail=f"{tier.name}: {tier.reason}")


CHECKS: dict[str, Callable[[], Part]] = {
    "database": check_database,
    "redis": check_redis,
    "celery": check_celery,
    "backend": check_backend,
    "code": check_code,
}


def _workers() -> list[Heartbeat]:
    with _client() as client:
        return census.workers(client)


def _absence(model: str, workers: list[Heartbeat]) -> str:
    loading = [one.progress for one in workers if one.model == model and one.state is WorkerState.LOADING]
    how_far = f" (one loads: {max(loading):.0%})" if loading else ""
    return f"no inference worker is ready for {model}{how_far}"


def _kernel(worker: Heartbeat) -> str:
    """What a worker computes with, and how that proved right when the worker started."""
    proof = f", self-test {worker.self_test}" if worker.self_test else ""
    return f"{worker.worker_id} computes {worker.model} with {worker.kernel or 'an unnamed kernel'}{proof}"


def _client() -> "redis.Redis[bytes]":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=ANSWER_WITHIN_S, socket_connect_timeout=ANSWER_WITHIN_S
    )


urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", prometheus, name="metrics"),
]
