"""A bad setting stops start-up and names itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from webapp import environment


@pytest.mark.parametrize("value", ["five", "-1", "NaN", "Infinity", "0.0000000001"])
def test_a_credit_that_is_no_amount_of_money_is_named(monkeypatch, value):
    monkeypatch.setenv("SIGN_UP_CREDIT", value)
    with pytest.raises(ImproperlyConfigured, match="SIGN_UP_CREDIT"):
        environment.amount("SIGN_UP_CREDIT", "5.00")


def test_a_currency_without_prices_is_named(monkeypatch):
    monkeypatch.setenv("BILLING_CURRENCY", "EUR")
    with pytest.raises(ImproperlyConfigured, match="BILLING_CURRENCY='EUR'.*USD, CNY"):
        environment.one_of("BILLING_CURRENCY", "USD", "CNY")


@pytest.mark.parametrize("value", ["mail", "mail=sometimes", "=always", "mail=always,search"])
def test_an_approval_that_is_none_is_named(monkeypatch, value):
    monkeypatch.setenv("TOOL_APPROVAL", value)
    with pytest.raises(ImproperlyConfigured, match="TOOL_APPROVAL"):
        environment.choices_by_name("TOOL_APPROVAL", "always", "never")


def test_tools_are_kept_from_every_secret_of_the_environment(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("sk-from-a-file\n")
    monkeypatch.setenv("SOME_PROVIDER_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("MAIL_PASSWORD", "in-the-open")
    monkeypatch.setenv("TLS_KEY_FILE", "/nowhere/at/all")
    assert {"sk-from-a-file", "in-the-open"} <= set(environment.secrets_of_environment())


@pytest.mark.parametrize("value", ["redis.example:6379", "https://:hidden@redis.example"])
def test_a_redis_that_has_no_address_is_named_in_one_line(value):
    told = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, "REDIS_URL": value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    (line,) = told.stderr.splitlines()
    assert line.startswith("REDIS_URL is no address: it begins with redis://")
    assert "hidden" not in line


def test_an_empty_address_is_as_good_as_none(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "")
    assert (
        environment.address("REDIS_URL", "unix:///var/redis.sock", "redis", "unix")
        == "unix:///var/redis.sock"
    )
