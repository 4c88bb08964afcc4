"""Names on which RabbitMQ's configuration, its questions and our connections must agree."""

from __future__ import annotations

import re

from django.utils.crypto import salted_hmac

from messaging.authorization import is_device_id

VHOST = "/"
TOPICS = "amq.topic"  # the exchange behind MQTT's topics
EVENTS = "amq.rabbitmq.event"  # where the event exchange tells who connects and leaves
STREAM = "portal.bridge.messages"  # everything that is said, until the bridge has written it and its age is over
EVENT_QUEUE = "portal.bridge.events"  # not the stream: the event exchange's messages do not arrive in one (3.10)
BRIDGE_QUEUES = (STREAM, EVENT_QUEUE)  # as the bridge declares them: the second once everything that is said goes to the first
GATEWAY, BRIDGE, MANAGER = "portal.gateway", "portal.bridge", "portal.manager"
# The header of what a queue threw away: with its queue a device names where that goes, and we are not asked.
DEAD_LETTER = b"x-death"
DEVICE_QUEUES = "mqtt-subscription-"

_DEVICE_QUEUE = re.compile(r"mqtt-subscription-([0-9a-f]{32})qos[01]")


def device_queue(device: str) -> str:
    """Return the queue on which a device listens, over MQTT and over AMQP alike."""
    return f"{DEVICE_QUEUES}{device}qos1"


def owner_of_queue(queue: str) -> str | None:
    """Return the id of the device whose queue that is, None for any other queue."""
    found = _DEVICE_QUEUE.fullmatch(queue)
    return found[1] if found and is_device_id(found[1]) else None


def to_topic(routing_key: str) -> str:
    """Return the MQTT topic of an AMQP routing key; RabbitMQ's MQTT plugin swaps the separators."""
    return routing_key.translate(_SWAPPED)


def to_filter(binding_key: str) -> str:
    """Return the MQTT topic filter of an AMQP binding key, which writes * for one level where MQTT writes +."""
    return "/".join("+" if level == "*" else level for level in to_topic(binding_key).split("/"))


def to_routing_key(topic: str) -> str:
    """Return the AMQP routing key of an MQTT topic."""
    return topic.translate(_SWAPPED)


_SWAPPED = str.maketrans("./", "/.")


def manager_password() -> str:
    """Return the password of the one user that may close connections; it changes with PORTAL_SECRET_KEY."""
    return salted_hmac("messaging.rabbitmq.manager", MANAGER, algorithm="sha256").hexdigest()


def auth_path() -> str:
    """Return the secret first part of the addresses at which RabbitMQ asks for decisions; changes with PORTAL_SECRET_KEY."""
    return "/" + salted_hmac("messaging.rabbitmq.auth", "path", algorithm="sha256").hexdigest()[:40]
