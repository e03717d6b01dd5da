"""The administration of money: prices can be added, accounts credited; what was billed is read-only."""

from webapp.billing.admin import account, office, price, usage_record

__all__ = ["account", "office", "price", "usage_record"]
