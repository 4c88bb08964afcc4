"""The bridge of this process, for the broker that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.conf import settings

from messaging.bridge.mqtt import MqttSource
from messaging.bridge.runner import Bridge

if TYPE_CHECKING:
    from messaging.rabbitmq.presence import Arrival


def make_bridge(arrived: Callable[[Arrival], None] | None = None) -> Bridge:
    """Return a bridge, not started. `arrived`: on RabbitMQ it is told of each new connection of a device."""
    if settings.BROKER == "rabbitmq":
        from messaging.bridge.stream import StreamPosition, StreamSource  # pika is loaded only where it is used

        position = StreamPosition()
        return Bridge(StreamSource(settings.AMQP_HOST, settings.AMQP_PORT, settings.PKI_DIR, position, arrived), position)
    return Bridge(MqttSource(settings.MQTT_HOST, settings.MQTT_PORT, settings.PKI_DIR, settings.BROKER_SOCKETS))
