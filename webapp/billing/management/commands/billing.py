"""`manage.py billing`: prove the sums, sum up hours, issue invoices, make vouchers, add plans."""

import argparse
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from webapp.accounts import audit
from webapp.billing import invoices, proofs, rollups, seeds, vouchers
from webapp.billing.models import Account


class Command(BaseCommand):
    help = "Money: the proof of all sums, summed hours, invoices, vouchers, plans."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("prove", help="check every sum a second way; ends with 1 where one does not match")
        actions.add_parser("rollup", help="sum up the hours that are over")
        issue = actions.add_parser("invoices", help="issue the invoices of a month that is over")
        issue.add_argument("month", help="like 2026-10")
        voucher = actions.add_parser("voucher", help="print the code of a new voucher")
        voucher.add_argument("amount")
        voucher.add_argument("--currency", default=settings.BILLING_CURRENCY)
        plans = actions.add_parser("plans", help="add the published tiers as plans")
        plans.add_argument("--by-top-up", action="store_true", help="reached by what an account paid in")

    def handle(self, *, action: str, **options: Any) -> None:
        with audit.acting("command line"):
            getattr(self, f"_{action}")(options)

    def _prove(self, _options: dict[str, Any]) -> None:
        proof = proofs.prove()
        for claim in proof.claims:
            mark = "WRONG" if claim["num_wrong"] else "ok"
            told = f": {', '.join(claim['wrong'])}" if claim["num_wrong"] else ""
            self.stdout.write(f"{mark:<6}{claim['name']} ({claim['num_checked']} checked){told}")
        if not proof.is_sound:
            raise CommandError("Sums do not match: see above, and the alarm in the administration.")

    def _rollup(self, _options: dict[str, Any]) -> None:
        self.stdout.write(f"{rollups.roll_up()} rows for hours that are over")

    def _invoices(self, options: dict[str, Any]) -> None:
        month = self._month(options["month"])
        for account in Account.objects.filter(ledger__created_at__date__gte=month).distinct():
            try:
                self.stdout.write(str(invoices.issue(account, month)))
            except ValueError as fault:
                raise CommandError(str(fault)) from fault

    def _voucher(self, options: dict[str, Any]) -> None:
        try:
            _voucher, code = vouchers.create(Decimal(options["amount"]), currency=options["currency"])
        except (ValueError, InvalidOperation) as fault:
            raise CommandError(f"{options['amount']!r} is no amount of more than zero.") from fault
        self.stdout.write(code)

    def _plans(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{seeds.seed_plans(by_top_up=options['by_top_up'])} plans added")

    def _month(self, text: str) -> date:
        try:
            return datetime.strptime(text, "%Y-%m").replace(tzinfo=timezone.get_current_timezone()).date()
        except ValueError as fault:
            raise CommandError(f"{text!r} is no month: write it like 2026-10.") from fault
