"""Addresses of what is a person's own: feedback, drafts, presets, memory, notices, their data."""

from django.urls import path

from chat import draft_views, feedback_views, map_views, personal_views

urlpatterns = [
    path("c/<uuid:conversation_id>/map/", map_views.conversation_map, name="map"),
    path("c/<uuid:conversation_id>/context/", map_views.context, name="context"),
    path("drafts/", draft_views.draft, name="draft"),
    path("turns/<uuid:turn_id>/feedback/", feedback_views.feedback, name="feedback"),
    path("turns/<uuid:turn_id>/notice/", personal_views.notice, name="notice"),
    path("settings/chat/", personal_views.chat, name="chat_settings"),
    path("settings/chat/presets/new/", personal_views.preset, name="new_preset"),
    path("settings/chat/presets/<int:preset_id>/", personal_views.preset, name="preset"),
    path("settings/chat/presets/<int:preset_id>/delete/", personal_views.delete_preset, name="delete_preset"),
    path("settings/data/", personal_views.data, name="account_data"),
    path("settings/data/export.zip", personal_views.export_account, name="export_account"),
    path("settings/memory/", personal_views.memory, name="memory"),
    path("settings/memory/<int:memory_id>/", personal_views.change_memory, name="change_memory"),
    path("settings/notifications/", personal_views.notifications, name="notifications"),
    path("settings/notifications/webhooks/", personal_views.add_webhook, name="add_webhook"),
    path(
        "settings/notifications/webhooks/<slug:endpoint_id>/delete/",
        personal_views.delete_webhook,
        name="delete_webhook",
    ),
]
