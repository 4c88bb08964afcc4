"""What RabbitMQ asks before it lets a device do something, and our answers: the rules are those of every broker.

RabbitMQ's HTTP backend asks four questions (form fields as its README lists them): `user` on each login, `vhost` on each
connection, `resource` for queues and exchanges, `topic` for routing and binding keys. Only `user` looks into the registry; the
rest follows from the name alone. The portal's own users are RabbitMQ's internal ones and are not asked about here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.conf import settings

from messaging.authorization import Action, Identity, Kind, Refusal, identify, may
from messaging.rabbitmq.names import TOPICS, VHOST, owner_of_queue, to_filter, to_topic

Fields = Mapping[str, str]
Admit = Callable[[str, str | None], Identity | Refusal]


def decide(question: str, fields: Fields, admit: Admit) -> str:
    """Return RabbitMQ's `allow` or `deny`, followed by the tags for a user (ours have none).

    `admit(device id, password)` says who that is; the password is None for a client whose certificate RabbitMQ has checked.
    """
    rule = _RULES.get(question)
    return "allow" if rule is not None and rule(fields, admit) else "deny"


def _user(fields: Fields, admit: Admit) -> bool:
    # RabbitMQ leaves the password out for a login by certificate; an empty one is a password all the same, and a wrong one.
    verdict = admit(fields.get("username", ""), fields.get("password"))
    return isinstance(verdict, Identity) and verdict.kind is Kind.DEVICE


def _vhost(fields: Fields, _admit: Admit) -> bool:
    """Here MQTT tells its client id, which must be the device's; AMQP has none, and is let in only where devices may speak it."""
    name, client_id = fields.get("username", ""), fields.get("client_id", "")
    if not client_id and not settings.AMQP_DEVICES:
        return False
    return fields.get("vhost") == VHOST and _device(name, client_id or name) is not None


def _resource(fields: Fields, _admit: Admit) -> bool:
    device = _device(fields.get("username", ""))
    if device is None or fields.get("vhost") != VHOST:
        return False
    kind, name, permission = fields.get("resource"), fields.get("name", ""), fields.get("permission")
    if kind == "queue":
        return owner_of_queue(name) == device.name and permission in {"configure", "read", "write"}
    return kind == "exchange" and name == TOPICS and permission in {"read", "write"}


def _topic(fields: Fields, _admit: Admit) -> bool:
    device = _device(fields.get("username", ""))
    if device is None or fields.get("vhost") != VHOST or fields.get("name") != TOPICS:
        return False
    key, permission = fields.get("routing_key", ""), fields.get("permission")
    if permission == "read":
        return may(device, Action.SUBSCRIBE, to_filter(key))
    return permission == "write" and may(device, Action.PUBLISH, to_topic(key))


def _device(name: str, client_id: str | None = None) -> Identity | None:
    identity = identify(name, name if client_id is None else client_id)
    return identity if isinstance(identity, Identity) and identity.kind is Kind.DEVICE else None


_RULES: dict[str, Callable[[Fields, Admit], bool]] = {"user": _user, "vhost": _vhost, "resource": _resource, "topic": _topic}
