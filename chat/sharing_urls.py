"""Addresses of what people hand on of their chats."""

from django.urls import path

from chat import export_views, share_views

urlpatterns = [
    path("s/<str:token>/", share_views.shared, name="shared"),
    path("s/<str:token>/continue/", share_views.go_on, name="continue_shared"),
    path("c/<uuid:conversation_id>/share/", share_views.share, name="share"),
    path("c/<uuid:conversation_id>/export.<str:ending>", export_views.export, name="export"),
    path("settings/import/", export_views.import_chats, name="import_chats"),
    path("settings/links/", share_views.links, name="shared_links"),
    path("settings/links/<uuid:share_id>/revoke/", share_views.revoke, name="revoke_share"),
]
