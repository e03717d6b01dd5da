"""The Celery application. Tasks take ids only; the database says what is to be done."""

import os

from celery import Celery
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

app = Celery("webapp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def start_telemetry(**_kwargs: object) -> None:
    from webapp import telemetry  # needs the apps, which are not loaded yet when this module is

    telemetry.start("celery-worker")
