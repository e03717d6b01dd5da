"""An event reaches who wants to hear of it, signed, until it was taken; the official client verifies it."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import openai
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from openai import InvalidWebhookSignatureError
from openai.types.webhooks import ResponseCompletedWebhookEvent

from agents.url_guard import Rules
from tests.webhooks.receiver import receiving
from webapp.webhooks import endpoints, outbox
from webapp.webhooks.models import Delivery

DATA = {"id": "resp_1"}


@pytest.fixture
def receiver(settings):
    with receiving() as receiver:
        settings.WEBHOOK_PRIVATE_HOSTS = [receiver.host]
        yield receiver


@pytest.fixture
def endpoint(transactional_db, alice, receiver):
    return endpoints.create(alice, url=receiver.url, event_types=["response.completed"], name="mine")


async def announce(user, event_id="evt_1", event_type="response.completed"):
    tell = sync_to_async(outbox.announce)
    await tell(user.id, event_type=event_type, event_id=event_id, data=DATA)


async def try_all():
    """Try what is to be tried, as if its time had come."""
    async for delivery in Delivery.objects.filter(state="pending"):
        await Delivery.objects.filter(id=delivery.id).aupdate(due_at=timezone.now() - timedelta(seconds=1))
        await outbox.deliver(delivery.id)


async def test_the_official_client_verifies_what_it_is_sent_and_nothing_else(endpoint, receiver, alice):
    await announce(alice)
    await try_all()
    [(headers, body)] = receiver.received
    with openai.OpenAI(api_key="none", webhook_secret=endpoint.secret) as client:
        event = client.webhooks.unwrap(body, headers)
        assert isinstance(event, ResponseCompletedWebhookEvent)
        assert (event.id, event.data.id) == ("evt_1", "resp_1")
        with pytest.raises(InvalidWebhookSignatureError):
            client.webhooks.unwrap(body.replace(b"resp_1", b"resp_2"), headers)
    delivery = await Delivery.objects.aget()
    assert (delivery.state, delivery.status_code, delivery.num_tries) == ("delivered", 200, 1)


async def test_it_is_sent_again_under_one_id_until_it_is_taken(endpoint, receiver, alice):
    receiver.statuses = [500, 302, 204]
    await announce(alice)
    await announce(alice)  # as after a crash: it is no second event
    for _ in range(5):
        await try_all()
    assert [headers["webhook-id"] for headers, _body in receiver.received] == ["evt_1"] * 3
    delivery = await Delivery.objects.aget()
    assert (delivery.state, delivery.num_tries, delivery.error) == ("delivered", 3, "")


async def test_what_is_never_taken_is_given_up_and_says_why(endpoint, receiver, alice):
    receiver.statuses = [503]
    await announce(alice)
    for _ in range(20):
        await try_all()
    delivery = await Delivery.objects.aget()
    assert (delivery.state, delivery.due_at) == ("failed", None)
    assert delivery.num_tries == len(outbox.PAUSES_S) + 1 == len(receiver.received)
    assert "503" in delivery.error


async def test_who_answers_gone_is_told_nothing_more(endpoint, receiver, alice):
    receiver.statuses = [410]
    await announce(alice)
    await try_all()
    await announce(alice, event_id="evt_2")
    await endpoint.arefresh_from_db()
    assert (endpoint.is_active, await Delivery.objects.acount()) == (False, 1)


async def test_a_try_that_is_under_way_is_made_by_nobody_else(endpoint, receiver, alice):
    await announce(alice)
    delivery = await Delivery.objects.aget()
    assert await outbox._claim(delivery.id) is not None
    await outbox.deliver(delivery.id)
    assert receiver.received == []


async def test_only_those_who_asked_for_this_kind_are_told(endpoint, receiver, alice, bob):
    await announce(alice, event_type="response.failed")
    await announce(bob)
    assert not await Delivery.objects.aexists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "http://127.0.0.1/hook"),
        ("url", "http://169.254.169.254/latest"),
        ("url", "ftp://example.com/"),
        ("url", "http://intranet/"),
        ("event_types", []),
        ("event_types", ["response.nothing"]),
        ("name", " "),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused_by_field(db, alice, field, value):
    good: dict[str, Any] = {
        "url": "https://example.com/hook",
        "event_types": ["response.completed"],
        "name": "mine",
    }
    endpoints.create(alice, **good)
    with pytest.raises(endpoints.BadEndpoint) as refusal:
        endpoints.create(alice, **(good | {field: value}))
    assert refusal.value.param == field


async def test_an_address_that_turned_private_is_not_connected_to(endpoint, receiver, alice, settings):
    settings.WEBHOOK_PRIVATE_HOSTS = []
    await announce(alice)
    await try_all()
    delivery = await Delivery.objects.aget()
    assert (receiver.received, delivery.state) == ([], "pending")
    assert "UrlRefused" in delivery.error


async def test_an_endpoint_that_answers_byte_by_byte_holds_nobody_up(endpoint, alice, monkeypatch):
    async def drip(reader, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nx: ")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)

    monkeypatch.setattr(outbox, "WITHIN_S", 0.5)
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    monkeypatch.setattr(endpoints, "rules", lambda: Rules(private_hosts=frozenset({address})))
    endpoint.url = f"http://{address}/"
    await endpoint.asave()
    await announce(alice)
    async with asyncio.timeout(30):
        await try_all()
    server.close()
    delivery = await Delivery.objects.aget()
    assert (delivery.state, delivery.num_tries) == ("pending", 1)
    assert "ReadTimeout" in delivery.error
