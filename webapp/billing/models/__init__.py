"""Money and what it is spent on. All amounts are whole nano-units of the account's currency (1 USD = 10⁹)."""

from webapp.billing.models.money import (
    Account,
    Budget,
    Currency,
    Hold,
    LedgerEntry,
    Plan,
    Price,
    Scope,
    Voucher,
)
from webapp.billing.models.office import Alarm, Invoice, Proof, Quota
from webapp.billing.models.usage import FIRST_TOKEN_WITHIN_MS, Rollup, UsageDay, UsageHour, UsageRecord

__all__ = [
    "FIRST_TOKEN_WITHIN_MS",
    "Account",
    "Alarm",
    "Budget",
    "Currency",
    "Hold",
    "Invoice",
    "LedgerEntry",
    "Plan",
    "Price",
    "Proof",
    "Quota",
    "Rollup",
    "Scope",
    "UsageDay",
    "UsageHour",
    "UsageRecord",
    "Voucher",
]
