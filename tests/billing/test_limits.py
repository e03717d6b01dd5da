"""Rates and leases, on a real Redis."""

from uuid import uuid4

import pytest
import redis

from tests.services import RedisServer, wait_until
from webapp.billing import limits
from webapp.billing.limits import Scope


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
        assert enter(f"r{number}").requests.remaining == 2 - number
        limits.leave("request", user_id=1, lease_id=f"r{number}")
    with pytest.raises(limits.RateLimited, match="3 requests a minute") as refusal:
        enter("r3")
    assert 19 < (refusal.value.retry_after_s or 0) <= 20
    assert enter("r3", user=2) is not None


def test_a_key_has_a_rate_of_its_own(settings):
    settings.KEY_REQUESTS_PER_MINUTE = 1
    key = uuid4()
    limits.enter("request", user_id=1, lease_id="a", ttl_s=60, key_id=key)
    with pytest.raises(limits.RateLimited, match="This key may make 1 requests a minute"):
        limits.enter("request", user_id=1, lease_id="b", ttl_s=60, key_id=key)
    assert enter("b").requests.remaining == 1  # the refusal took nothing from the user's own rate


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
    wait_until(lambda: is_admitted("new"), within_s=30, what="the dead process's place")
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
        assert enter("a").requests.remaining == 2
        server.kill()
        assert enter("b") is None
        server.start()
        assert enter("c").requests.remaining == 2
    finally:
        server.stop()


def take(lease, *scopes, tokens=0, **options):
    return limits.take("request", scopes, lease_id=lease, ttl_s=60, tokens=tokens, **options)


def test_all_scopes_are_taken_together_or_none():
    key, team = Scope(kind="key", id="1", requests_per_minute=100), Scope(kind="team", id="2", concurrency=1)
    lease = take("a", key, team)
    with pytest.raises(limits.RateLimited, match="1 requests of your team are under way") as refusal:
        take("b", key, team)
    told = refusal.value
    assert (told.scope, told.which, told.limit, told.used) == ("team", "concurrency", 1, 1)
    limits.give_back(lease)
    assert take("b", key, team).allowance.requests.remaining == 98  # the refusal took nothing of the key's


def test_the_tightest_limits_are_told():
    key = Scope(kind="key", id="1", requests_per_minute=100, tokens_per_minute=1_000)
    team = Scope(kind="team", id="2", requests_per_minute=10, tokens_per_day=5_000)
    allowance = take("a", key, team, tokens=200).allowance
    assert (allowance.requests.limit, allowance.requests.remaining) == (10, 9)
    assert (allowance.tokens.limit, allowance.tokens.remaining) == (1_000, 800)
    assert 11 < allowance.tokens.reset_s <= 12.001


def test_tokens_that_were_not_used_come_back_once():
    scope = Scope(kind="key", id="1", tokens_per_minute=1_000, tokens_per_day=10_000)
    lease = take("a", scope, tokens=900)
    with pytest.raises(limits.RateLimited, match="This key may use 1000 tokens a minute") as refusal:
        take("b", scope, tokens=500)
    assert 23 < (refusal.value.retry_after_s or 0) <= 24.001
    limits.give_back(lease, used_tokens=100)
    limits.give_back(lease, used_tokens=100)
    assert 399 <= take("b", scope, tokens=500).allowance.tokens.remaining <= 401


def test_more_was_used_than_was_taken():
    scope = Scope(kind="key", id="1", tokens_per_minute=1_000)
    limits.give_back(take("a", scope, tokens=100), used_tokens=950)
    with pytest.raises(limits.RateLimited):
        take("b", scope, tokens=100)


def test_a_day_of_tokens_ends_and_a_request_past_all_of_it_is_told_so():
    scope = Scope(kind="project", id="1", tokens_per_day=1_000)
    take("a", scope, tokens=1_000)
    with pytest.raises(limits.RateLimited, match="Your project may use 1000 tokens a day") as refusal:
        take("b", scope, tokens=500)
    assert 43_000 < (refusal.value.retry_after_s or 0) <= 43_201
    with pytest.raises(limits.RateLimited, match="shorter answer") as refusal:
        take("c", scope, tokens=1_001)
    assert refusal.value.retry_after_s is None


def test_two_hundred_at_once_get_no_more_than_there_is():
    from concurrent.futures import ThreadPoolExecutor

    scope = Scope(kind="key", id="1", concurrency=7, tokens_per_minute=600)

    def is_let_in(number):
        try:
            return bool(take(f"r{number}", scope, tokens=100))
        except limits.RateLimited:
            return False

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(is_let_in, range(200))) == 6


def test_a_key_that_fails_closed_is_refused_without_redis(settings):
    settings.REDIS_URL = "unix:///nowhere/redis.sock?db=0"
    scope = Scope(kind="key", id="1", requests_per_minute=1)
    assert take("a", scope).allowance is None
    with pytest.raises(limits.LimitsUnknown):
        take("b", scope, fails_closed=True)
