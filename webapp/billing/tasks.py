"""What is done about money by the clock: hours summed up, alarms, invoices, the nightly proof. Each may run
twice without harm."""

from celery import shared_task
from django.utils import timezone

from webapp.billing import alarms, invoices, proofs, rollups


@shared_task(ignore_result=True, acks_late=False)  # the schedule names its queue
def look_after() -> None:
    """Each minute: sum up hours that are over, and look for what should be told."""
    rollups.roll_up()
    alarms.check_budgets()
    alarms.check_velocity()


@shared_task(ignore_result=True, acks_late=False)  # the schedule names its queue
def close_the_day() -> None:
    """Each night: late records put in, the proof of all sums, and the invoices of the month that ended."""
    rollups.mend(rollups.LATE_AT_NIGHT)
    proofs.prove()
    invoices.issue_all(today=timezone.localdate())
