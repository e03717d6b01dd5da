"""Vouchers: a code is worth its amount once, to whoever brings it first. Codes are kept as hashes."""

import hashlib
import secrets
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.billing import accounts, pricing
from webapp.billing.models import Account, LedgerEntry, Voucher

LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that is taken for another
GROUPS, OF = 4, 5


class NotRedeemable(Exception):
    """The text says why, and is fit to show to whoever brought the code."""


def create(
    amount: Decimal, *, currency: str, note: str = "", expires_at: datetime | None = None
) -> tuple[Voucher, str]:
    """A new voucher and its code, which cannot be had again. Raises ValueError for one worth nothing."""
    if amount <= 0:
        raise ValueError("A voucher is worth more than zero.")
    code = "-".join("".join(secrets.choice(LETTERS) for _letter in range(OF)) for _group in range(GROUPS))
    voucher = Voucher.objects.create(
        code_hash=_hash(code),
        prefix=code[:OF],
        amount_nano=pricing.to_nano(amount),
        currency=currency,
        note=note,
        expires_at=expires_at,
    )
    return voucher, code


def redeem(account: Account, code: str) -> LedgerEntry:
    """Raises NotRedeemable, having changed nothing; of any number of callers together one gets the money."""
    now = timezone.now()
    with transaction.atomic():
        voucher = Voucher.objects.filter(code_hash=_hash(code)).first()
        if voucher is None:
            raise NotRedeemable(_("There is no voucher with this code. Check it letter by letter."))
        if voucher.expires_at is not None and voucher.expires_at <= now:
            raise NotRedeemable(_("This voucher has expired."))
        if voucher.currency != account.currency:
            text = _("This voucher is in %(voucher)s, but the account is in %(account)s.")
            raise NotRedeemable(text % {"voucher": voucher.currency, "account": account.currency})
        unused = Voucher.objects.filter(pk=voucher.pk, redeemed_at=None)
        if unused.update(redeemed_at=now, redeemed_by=account) == 0:
            raise NotRedeemable(_("This voucher was redeemed before."))
        return accounts.add(
            account,
            voucher.amount_nano,
            kind=LedgerEntry.Kind.VOUCHER,
            book=LedgerEntry.Book.VOUCHERS,
            note=f"Voucher {voucher.prefix}…",
        )


def _hash(code: str) -> str:
    # A code has 99 random bits. Spaces, dashes and lower case are a matter of typing.
    plain = "".join(letter for letter in code.upper() if letter.isalnum())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
