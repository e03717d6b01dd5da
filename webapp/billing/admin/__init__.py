"""The administration of money: prices can be added, accounts credited; what was billed is read-only."""

from webapp.billing.admin import account, price, usage_record

__all__ = ["account", "price", "usage_record"]
