"""200 callers at once on a key whose budget covers a few of them: not one unit more is spent."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
from django.utils import timezone

from tests.api.conftest import database_url as url_of_database
from tests.api.conftest import serving
from tests.services import wait_until
from webapp.accounts import keys
from webapp.billing import accounts, budgets
from webapp.billing.models import Account, Budget, Hold, LedgerEntry, Price, Scope, UsageRecord

CALLERS = 200
MOST_NANO = 2_000_000  # of the budget: about ten of the holds below fit


async def ask_all(address, secret):
    body = {"model": "scripted", "max_tokens": 20, "messages": [{"role": "user", "content": "Go."}]}
    headers = {"Authorization": f"Bearer {secret}"}
    limits = httpx.Limits(max_connections=CALLERS)
    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=120) as client:
        asked = (client.post(f"{address}/v1/chat/completions", json=body) for _caller in range(CALLERS))
        return await asyncio.gather(*asked)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("purse", ["budget", "balance"])
def test_of_many_at_once_nobody_spends_what_is_not_there(alice, scripted_model, script, settings, purse):
    Price.objects.create(
        model=scripted_model,
        currency="USD",
        input_per_million=Decimal("0.1"),
        cached_input_per_million=Decimal("0.1"),
        output_per_million=Decimal(5),
        valid_from=timezone.now() - timedelta(days=1),
    )
    key, secret = keys.create(alice, name="nearly empty")
    account = accounts.of(alice)
    if purse == "budget":
        budgets.set_for(
            Scope.KEY, str(key.pk), period="month", currency="USD", soft=None, hard=Decimal("0.002")
        )
    else:
        accounts.correct(account, MOST_NANO - account.balance_nano, "for the test")
    began_nano = Account.objects.get(pk=account.pk).balance_nano
    script("text: a b c d e f g h")
    free = {
        "CONCURRENT_REQUESTS": "1000",
        "REQUESTS_PER_MINUTE": "100000",
        "KEY_REQUESTS_PER_MINUTE": "100000",
    }
    environment = {"DATABASE_URL": url_of_database(), "SCRIPT_FILE": settings.SCRIPT_FILE, **free}
    with serving("uvicorn", **environment) as address:
        answers = asyncio.run(ask_all(address, secret))
        is_open = Hold.objects.filter(status=Hold.Status.OPEN)
        wait_until(lambda: not is_open.exists(), within_s=60, what="the last settlement")
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    spent_nano = sum(UsageRecord.objects.values_list("cost_nano", flat=True))
    assert 0 < spent_nano <= MOST_NANO
    account.refresh_from_db()
    assert (account.balance_nano, account.held_nano) == (began_nano - spent_nano, 0)
    assert UsageRecord.objects.count() == statuses.count(200)
    usage = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.USAGE)
    assert -sum(usage.values_list("amount_nano", flat=True)) == spent_nano
    if purse == "budget":
        assert Budget.objects.get().spent_nano == spent_nano
        codes = {answer.json()["error"]["code"] for answer in answers if answer.status_code == 429}
        assert codes <= {"key_spend_limit_exceeded", "insufficient_quota"}
