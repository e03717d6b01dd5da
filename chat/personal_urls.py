"""Addresses of what is a person's own: feedback, drafts, presets, memory, notices, their data."""

from django.urls import path

from chat import feedback_views

urlpatterns = [
    path("turns/<uuid:turn_id>/feedback/", feedback_views.feedback, name="feedback"),
]
