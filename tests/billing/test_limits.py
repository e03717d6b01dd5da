"""Rates and leases, on a real Redis."""

from uuid import uuid4

import pytest
import redis

from tests.services import RedisServer, wait_until
from webapp.billing import limits


@pytest.fixture(autouse=True)
def _small_limits(settings):
    settings.REQUESTS_PER_MINUTE = 3
    settings.KEY_REQUESTS_PER_MINUTE = 100
    settings.CONCURRENT_REQUESTS = 2


def enter(lease, *, user=1, ttl_s=60):
    return limits.enter("request", user_id=user, lease_id=lease, ttl_s=ttl_s)


def is_admitted(lease):
    try:
        return enter(lease) is not None
    except limits.RateLimited:
        return False


def test_the_fourth_request_of_a_minute_is_told_when_to_come_back():
    for number in range(3):
        assert enter(f"r{number}").remaining == 2 - number
        limits.leave("request", user_id=1, lease_id=f"r{number}")
    with pytest.raises(limits.RateLimited, match="3 requests a minute") as refusal:
        enter("r3")
    assert 19 < refusal.value.retry_after_s <= 20
    assert enter("r3", user=2) is not None


def test_a_key_has_a_rate_of_its_own(settings):
    settings.KEY_REQUESTS_PER_MINUTE = 1
    key = uuid4()
    limits.enter("request", user_id=1, lease_id="a", ttl_s=60, key_id=key)
    with pytest.raises(limits.RateLimited, match="This key may make 1 requests a minute"):
        limits.enter("request", user_id=1, lease_id="b", ttl_s=60, key_id=key)
    assert enter("b").remaining == 1  # the refusal took nothing from the user's own rate


def test_no_more_are_under_way_than_allowed_and_a_place_comes_back():
    enter("a")
    enter("b")
    with pytest.raises(limits.RateLimited, match="2 of your requests are under way"):
        enter("c")
    limits.leave("request", user_id=1, lease_id="a")
    assert enter("c") is not None


def test_the_lease_of_a_dead_process_frees_its_place_unless_it_was_renewed():
    enter("dead", ttl_s=0.02)
    enter("alive", ttl_s=0.02)
    limits.renew("request", user_id=1, lease_id="alive", ttl_s=60)
    wait_until(lambda: is_admitted("new"), within_s=5, what="the dead process's place")
    assert not is_admitted("newer")


def test_a_place_that_is_renewed_outlives_its_first_lease_by_any_time(redis_url):
    enter("long", ttl_s=1)
    limits.renew("request", user_id=1, lease_id="long", ttl_s=3600)
    with redis.Redis.from_url(redis_url) as client:
        assert client.ttl("limits:request:under_way:1") > 3600


def test_without_redis_nobody_is_limited(settings):
    settings.REDIS_URL = "unix:///nowhere/redis.sock?db=0"
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(settings.REDIS_URL).ping()
    assert [enter(f"r{number}") for number in range(9)] == [None] * 9
    limits.leave("request", user_id=1, lease_id="r0")


def test_limits_hold_again_after_redis_restarts(settings, tmp_path):
    server = RedisServer(tmp_path)
    settings.REDIS_URL = server.url
    server.start()
    try:
        assert enter("a").remaining == 2
        server.kill()
        assert enter("b") is None
        server.start()
        assert enter("c").remaining == 2
    finally:
        server.stop()
