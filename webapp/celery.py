"""The Celery application. Tasks take ids only; the database says what is to be done."""

import gc
import os
import threading
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_ready

from chat import doorbell

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

ALLOCATIONS_PER_COLLECTION = 10_000

app = Celery("webapp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def start_telemetry(**_kwargs: object) -> None:
    from webapp import telemetry  # needs the apps, which are not loaded yet when this module is

    telemetry.start("celery-worker")


@worker_ready.connect
def spare_the_collector(**_kwargs: object) -> None:
    """What is loaded by now stays: looking through all of it again and again is a twentieth of a step."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS_PER_COLLECTION, 20, 20)


@worker_ready.connect
def load_clients(sender: Any, **_kwargs: object) -> None:
    """Beside the worker's first moments: the first turn would else wait a second for it, and all with it."""
    if doorbell.QUEUE in sender.app.amqp.queues.consume_from:
        threading.Thread(target=_load_clients, daemon=True).start()


def _load_clients() -> None:
    from django.db import connection

    from webapp.catalog import backends  # needs the apps, too

    try:
        backends.load_clients()
    finally:
        connection.close()
