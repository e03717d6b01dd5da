"""A bad setting stops start-up and names itself."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from webapp import settings


@pytest.mark.parametrize("value", ["five", "-1", "NaN", "Infinity", "0.0000000001"])
def test_a_credit_that_is_no_amount_of_money_is_named(monkeypatch, value):
    monkeypatch.setenv("SIGN_UP_CREDIT", value)
    with pytest.raises(ImproperlyConfigured, match="SIGN_UP_CREDIT"):
        settings.amount("SIGN_UP_CREDIT", "5.00")


def test_a_currency_without_prices_is_named(monkeypatch):
    monkeypatch.setenv("BILLING_CURRENCY", "EUR")
    with pytest.raises(ImproperlyConfigured, match="BILLING_CURRENCY='EUR'.*USD, CNY"):
        settings.one_of("BILLING_CURRENCY", "USD", "CNY")
