"""Addresses of the administration's figures."""

from django.urls import path

from webapp.dashboard import views

urlpatterns = [
    path("dashboard/", views.overview, name="dashboard"),
    path("dashboard/turns/", views.turns, name="dashboard_turns"),
    path("dashboard/workers/", views.workers, name="dashboard_workers"),
    path("dashboard/money/", views.money, name="dashboard_money"),
    path("dashboard/money/alarms/<int:alarm_id>/seen/", views.see_alarm, name="see_alarm"),
    path("dashboard/prices/dry-run/", views.dry_run, name="dry_run"),
]
