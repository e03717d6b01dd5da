"""The ground that every other test stands on."""

import json
import threading
from pathlib import Path

import pytest
import redis
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connection

from tests.conftest import WriteScript
from webapp.accounts.models import User
from webapp.celery import app


def test_redis_is_this_runs_own_and_every_client_is_pointed_at_it(redis_url: str) -> None:
    assert str(settings.VAR_DIR) in redis_url
    assert redis.Redis.from_url(redis_url).ping()
    with app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1)


async def test_the_channel_layer_reaches_the_same_redis() -> None:
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.send(channel, {"type": "hello"})
    assert await layer.receive(channel) == {"type": "hello"}


@pytest.mark.django_db(transaction=True)
def test_another_thread_sees_what_a_transactional_test_wrote(alice: User) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.extend(User.objects.values_list("username", flat=True))
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == ["alice"]


def test_the_script_fixture_writes_the_file_that_the_scripted_model_reads(script: WriteScript) -> None:
    script("think: two and two", "text: 4")
    written = json.loads(Path(settings.SCRIPT_FILE).read_text())
    assert written["replies"][0]["lines"] == ["think: two and two", "text: 4"]


def test_no_key_of_the_developers_machine_reaches_a_test() -> None:
    assert settings.OPENAI_API_KEY == ""
    assert settings.MOONSHOT_API_KEY == ""
