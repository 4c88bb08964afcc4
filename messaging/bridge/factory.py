"""The bridge of this process, for the broker that the settings name."""

from __future__ import annotations

from django.conf import settings

from messaging.bridge.mqtt import MqttSource
from messaging.bridge.runner import Bridge


def make_bridge() -> Bridge:
    """Return a bridge, not started."""
    if settings.BROKER == "rabbitmq":
        from messaging.bridge.stream import StreamPosition, StreamSource  # pika is loaded only where it is used

        position = StreamPosition()
        return Bridge(StreamSource(settings.AMQP_HOST, settings.AMQP_PORT, settings.PKI_DIR, position), position)
    return Bridge(MqttSource(settings.MQTT_HOST, settings.MQTT_PORT, settings.PKI_DIR))
