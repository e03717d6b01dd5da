"""The site: its settings and addresses, and the platform's own apps."""

from webapp.celery import app as celery_app  # shared tasks ring this application's broker, from every process

__all__ = ["celery_app"]
