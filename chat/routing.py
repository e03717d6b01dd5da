"""The addresses of the websockets."""

from django.urls import URLPattern, path

from chat.consumers import ChatConsumer

websocket_urlpatterns: list[URLPattern] = [
    path("ws/chat/", ChatConsumer.as_asgi()),  # type: ignore[arg-type]  # an ASGI application, not a view
]
