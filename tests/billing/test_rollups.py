"""Summed hours and days: whatever was used, and whenever it was written, pages show its sums."""

import uuid
from collections import defaultdict
from datetime import datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webapp.accounts.models import User
from webapp.billing import accounts, figures, rollups
from webapp.billing.figures import Span
from webapp.billing.models import Hold, LedgerEntry, Rollup, UsageDay, UsageHour, UsageRecord

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.get_default_timezone())
ZONES = ("UTC", "Asia/Kolkata", "Europe/Berlin", "America/St_Johns")
SPAN_DAYS = 5


@pytest.fixture
def people(kimi, carol):
    return [carol, User.objects.create_user("dave", "dave@example.com")]


def write(people, kimi, used):
    """One record for each of (whose, seconds before NOON, tokens, milliseconds to the first token)."""
    held = [
        Hold(account=account, model=kimi, user=account.user, amount_nano=0, status="settled", expires_at=NOON)
        for account in (accounts.of(people[whose]) for whose, *_ in used)
    ]
    Hold.objects.bulk_create(held)
    records = [
        UsageRecord(
            user=people[whose],
            model=kimi,
            hold=hold,
            reference=uuid.uuid4().hex,
            currency=("USD", "CNY")[whose],
            source=("chat", "api")[tokens % 2],
            finish_reason="error" if tokens % 7 == 0 else "stop",
            input_uncached_tokens=tokens,
            output_tokens=2 * tokens,
            cost_nano=3 * tokens,
            first_token_ms=first_ms,
        )
        for hold, (whose, _ago, tokens, first_ms) in zip(held, used, strict=True)
    ]
    for record, (_, ago_s, *_rest) in zip(records, used, strict=True):
        record.created_at = NOON - timedelta(seconds=ago_s)
    with_time = UsageRecord._meta.get_field("created_at")
    with_time.auto_now_add = False
    try:
        UsageRecord.objects.bulk_create(records)
    finally:
        with_time.auto_now_add = True


def raw(span, group):
    """The records added up one by one."""
    sums: defaultdict[object, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for record in UsageRecord.objects.filter(created_at__gte=span.since, created_at__lt=span.until):
        line = sums[(group(record), record.currency)]
        for place, more in enumerate(
            (1, record.finish_reason == "error", record.output_tokens, record.cost_nano)
        ):
            line[place] += more
    return dict(sums)


def shown(span, grouping):
    return {
        (line.group, line.currency): [line.num_records, line.num_errors, line.output_tokens, line.cost_nano]
        for line in figures.by(span, grouping)
    }


def spans():
    last = timezone.localdate(NOON)
    return [
        Span(first_day=last - timedelta(days=first), last_day=last - timedelta(days=end))
        for first, end in ((SPAN_DAYS, 0), (0, 0), (1, 1), (3, 1))
    ]


def assert_pages_show_the_records():
    for span in spans():
        assert shown(span, "day") == raw(span, lambda one: timezone.localdate(one.created_at))
        assert shown(span, "hour") == raw(span, lambda one: rollups.hour_of(one.created_at))
        assert shown(span, "user") == raw(span, lambda one: one.user.username)
        assert shown(span, "source") == raw(span, lambda one: one.source)


USES = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, SPAN_DAYS * 86_400),
        st.integers(0, 50),
        st.none() | st.integers(0, 30_000),
    ),
    max_size=12,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(early=USES, late=USES, zone=st.sampled_from(ZONES), summed_h=st.lists(st.integers(0, 110), max_size=3))
def test_pages_show_the_sums_of_the_records_whenever_they_came(
    people, kimi, settings, early, late, zone, summed_h
):
    settings.TIME_ZONE = zone
    with transaction.atomic(), timezone.override(zone):
        write(people, kimi, early)
        for hours in sorted(summed_h, reverse=True):
            rollups.roll_up(now=NOON - timedelta(hours=hours))
            assert_pages_show_the_records()
        write(people, kimi, late)
        rollups.mend(timedelta(days=SPAN_DAYS + 1))
        assert_pages_show_the_records()
        transaction.set_rollback(True)


def test_a_death_between_two_steps_repeats_and_loses_nothing(people, kimi, monkeypatch):
    write(people, kimi, [(0, hours * 3_600, hours, 300) for hours in range(100)])
    whole, num_days = rollups._sum_days, iter(range(100))

    def die_on_the_third_day(row):
        whole(row)
        if next(num_days) == 2:
            raise RuntimeError("killed")

    monkeypatch.setattr(rollups, "_sum_days", die_on_the_third_day)
    with pytest.raises(RuntimeError):
        rollups.roll_up(now=NOON)
    assert_pages_show_the_records()
    monkeypatch.setattr(rollups, "_sum_days", whole)
    rollups.roll_up(now=NOON)
    assert rollups.roll_up(now=NOON) == 0
    assert_pages_show_the_records()
    assert UsageDay.objects.values("day").distinct().count() == 4
    assert Rollup.objects.get().done_before == NOON - timedelta(hours=1)


def test_another_time_zone_sums_all_up_anew(people, kimi, settings):
    write(people, kimi, [(0, hours * 1_800, hours, None) for hours in range(200)])
    rollups.roll_up(now=NOON)
    settings.TIME_ZONE = "Asia/Kolkata"
    with timezone.override("Asia/Kolkata"):
        assert rollups.standing() is None
        assert_pages_show_the_records()
        rollups.roll_up(now=NOON)
        assert {hour.minute for hour in UsageHour.objects.values_list("hour", flat=True)} == {30}
        assert_pages_show_the_records()


def test_how_long_first_tokens_take_is_told_by_shares_not_by_a_mean(people, kimi):
    times = [90] * 90 + [5_000] * 10
    write(people, kimi, [(0, 7_200 + place, 1, ms) for place, ms in enumerate(times)])
    span = spans()[0]
    before = figures.first_token_s(span, 0.5, 0.95)
    rollups.roll_up(now=NOON)
    assert before == figures.first_token_s(span, 0.5, 0.95)
    assert before is not None
    assert before[0] <= 0.1
    assert 3.8 <= before[1] <= 5.7
    assert figures.first_token_s(spans()[2], 0.5) is None


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no TRUNCATE")
def test_postgresql_refuses_to_empty_what_is_final_at_once(db):
    for model in (LedgerEntry, UsageRecord):
        refused = pytest.raises(DatabaseError, match="append-only")
        with refused, transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {model._meta.db_table} CASCADE")
