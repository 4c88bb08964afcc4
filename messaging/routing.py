"""The WebSockets of messaging."""

from typing import Any, cast

from django.urls import path

from messaging.consumers import LiveConsumer

# Django's types know views alone; Channels routes any ASGI application by the same patterns.
websocket_urlpatterns: list[Any] = [path("ws/live", cast(Any, LiveConsumer.as_asgi()))]
