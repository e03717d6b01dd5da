"""Addresses of the chat's pages and of the fragments that the pages swap."""

from django.urls import path

from chat import views

urlpatterns = [
    path("", views.new_chat, name="chat"),
    path("c/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("c/<uuid:conversation_id>/head/", views.head, name="head"),
    path("c/<uuid:conversation_id>/rename/", views.rename, name="rename"),
    path("c/<uuid:conversation_id>/delete/", views.delete, name="delete"),
    path("c/<uuid:conversation_id>/thread/", views.thread, name="thread"),
    path("turns/<uuid:turn_id>/", views.turn, name="turn"),
    path("turns/<uuid:turn_id>/show/", views.show_branch, name="show_branch"),
    path("sidebar/", views.sidebar, name="sidebar"),
]
