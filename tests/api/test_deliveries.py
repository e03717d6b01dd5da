"""A stream whose web process is killed is billed for what went out, once."""

import http.client
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from tests.api.conftest import APPLICATION, answers, database_url
from tests.services import free_port, wait_until
from webapp.api import deliveries
from webapp.api.models import Delivered
from webapp.billing.models import Account, Hold, LedgerEntry, Price, UsageRecord
from webapp.management.web_bench import SERVERS


@pytest.fixture
def victim(redis_url, transactional_db):
    """A web server that a test may kill: its process and address."""
    port = free_port()
    environment = {**os.environ, "DATABASE_URL": database_url(), "SCRIPT_FILE": settings.SCRIPT_FILE}
    command = [sys.executable, "-m", *SERVERS["uvicorn"], str(port), APPLICATION]
    process = subprocess.Popen(command, env=environment, cwd=settings.BASE_DIR)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), within_s=60, what="the server")
        yield process, port
    finally:
        process.kill()
        process.wait()


def test_what_a_killed_process_delivered_is_billed_once(victim, secret, scripted_model, script, alice):
    process, port = victim
    Price.objects.filter(model=scripted_model).update(output_per_million=10)
    script("pace: 100", "text: " + "word " * 5_000)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    body = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {secret}"}
    )
    response = connection.getresponse()
    wait_until(
        lambda: bool(response.readline()) and Delivered.objects.filter(output_tokens__gt=50).exists(),
        within_s=30,
        what="a note of what was delivered",
    )
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    response.read1(1)
    assert Hold.objects.get().status == Hold.Status.OPEN
    assert deliveries.settle_abandoned() == 0, "its lease runs"

    noted = Delivered.objects.get()
    Delivered.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert [deliveries.settle_abandoned(), deliveries.settle_abandoned()] == [1, 0]
    record = UsageRecord.objects.get()
    assert (record.output_tokens, record.is_estimated, record.finish_reason) == (
        noted.output_tokens,
        True,
        "cancelled",
    )
    assert record.cost_nano == noted.output_tokens * 10_000
    assert LedgerEntry.objects.filter(kind="usage").count() == 1
    assert Account.objects.get(user=alice).held_nano == 0
    assert not Delivered.objects.exists()


def test_a_stream_that_ends_well_leaves_no_note(client, script):
    script("pace: 100", "text: " + "word " * 149 + "end")
    stream = client.chat.completions.create(
        model="scripted", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    for number, _ in enumerate(stream):
        if number == 130:
            assert Delivered.objects.exists()
    wait_until(lambda: not Delivered.objects.exists(), within_s=30, what="the settlement")
    assert UsageRecord.objects.get().output_tokens == 150
