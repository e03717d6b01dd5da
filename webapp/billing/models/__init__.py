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
from webapp.billing.models.usage import Rollup, UsageHour, UsageRecord

__all__ = [
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
    "UsageHour",
    "UsageRecord",
    "Voucher",
]
