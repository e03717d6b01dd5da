"""The addresses of the websockets."""

from typing import Any

from django.urls import path

from chat.consumers import ChatConsumer

# `path` is typed for views; Channels takes the same patterns for ASGI applications, under a type of its own.
websocket_urlpatterns: list[Any] = [path("ws/chat/", ChatConsumer.as_asgi())]  # type: ignore[arg-type]
