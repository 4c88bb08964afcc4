"""Who may connect, and who may touch which topic: pure rules without I/O.

Every broker we run asks these same functions, so a rule is written once. Topics and identities are those of
docs/protocol: a device listens below ``{id}/`` and speaks on ``server/{id}/{api}``; the portal's own services
hold certificates with a fixed common name that can never be mistaken for a device id.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

# RabbitMQ's routing keys end at 255 bytes; a topic that one broker takes must not be refused by the other.
MAX_TOPIC_BYTES = 255
# What stands in place of a certificate's fingerprint for a device that came with a password; the hash of it follows.
PASSWORD = "password:"
# What stands there for a service of the portal that came in by its own socket on the broker's machine.
SOCKET = "socket"
PRESENCE_PREFIX = "$SYS/portal/"

_DEVICE_ID = re.compile(r"[0-9a-f]{32}")


class Kind(StrEnum):
    """What stands behind a certificate."""

    DEVICE = "device"
    GATEWAY = "gateway"
    BRIDGE = "bridge"


class Action(StrEnum):
    """What a client wants to do with a topic (or, for subscribe, with a topic filter)."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    RECEIVE = "receive"


@dataclass(frozen=True, slots=True)
class Identity:
    """Proven owner of a connection; `name` is the certificate's common name (for a device: its id)."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is not let in; the reason is for the log and the device's owner, never for the peer.

    `cause`: "revoked", "deleted" or "expired", in which presence says why an open connection was cut; empty for all else.
    """

    reason: str
    cause: str = ""


SERVICES = {"portal.gateway": Kind.GATEWAY, "portal.bridge": Kind.BRIDGE}


def is_device_id(text: str) -> bool:
    """Tell whether `text` has the form of a device id: 32 lowercase hex digits."""
    return _DEVICE_ID.fullmatch(text) is not None


def identify(common_name: str, client_id: str) -> Identity | Refusal:
    """Return the identity that `common_name` proves, if it owns the MQTT client id `client_id`.

    A device's client id is its common name exactly. A portal service runs in several processes, so its client id
    is the common name, or begins with it and a dot. No look-up: whether the certificate is still good is asked later.
    """
    kind = SERVICES.get(common_name)
    if kind is not None:
        if client_id == common_name or client_id.startswith(common_name + "."):
            return Identity(kind, common_name)
        return Refusal("client id is not the service's")
    if not is_device_id(common_name):
        return Refusal("common name is neither a device id nor a service")
    if client_id != common_name:
        return Refusal("client id is not the certificate's common name")
    return Identity(Kind.DEVICE, common_name)


def may(identity: Identity, action: str, topic: str) -> bool:
    """Tell whether `identity` may do `action` ("publish", "subscribe", "receive") on `topic`.

    For "subscribe" the topic is a topic filter, otherwise a topic name. Unknown actions and malformed topics are
    refused, so a caller need not have checked them.
    """
    if not _well_formed(topic, wildcards=action == Action.SUBSCRIBE):
        return False
    rule = _RULES.get((identity.kind, action))
    return rule is not None and rule(identity, topic.split("/"))


def _well_formed(topic: str, *, wildcards: bool) -> bool:
    """Check length and wildcard placement (MQTT 3.1.1, 4.7)."""
    if not topic or "\0" in topic or len(topic.encode("utf-8", "replace")) > MAX_TOPIC_BYTES:
        return False
    if "+" not in topic and "#" not in topic:
        return True
    if not wildcards:
        return False
    levels = topic.split("/")
    return "#" not in "".join(levels[:-1]) and all(len(level) == 1 or not set(level) & {"+", "#"} for level in levels)


def _below_own(identity: Identity, levels: list[str]) -> bool:
    return len(levels) >= 2 and levels[0] == identity.name


def _own_answer(identity: Identity, levels: list[str]) -> bool:
    return len(levels) == 3 and levels[0] == "server" and levels[1] == identity.name and levels[2] != ""


def _any_command(_identity: Identity, levels: list[str]) -> bool:
    return len(levels) == 2 and is_device_id(levels[0]) and levels[1] != ""


def _any_answer(_identity: Identity, levels: list[str]) -> bool:
    # One device at a time: a gateway that heard them all would be woken for answers nobody there waits for.
    return len(levels) >= 3 and levels[0] == "server" and is_device_id(levels[1])


def _all_messages(_identity: Identity, levels: list[str]) -> bool:
    return not levels[0].startswith("$") or "/".join(levels).startswith(PRESENCE_PREFIX)


_RULES: dict[tuple[Kind, str], Callable[[Identity, list[str]], bool]] = {
    (Kind.DEVICE, Action.PUBLISH): _own_answer,
    (Kind.DEVICE, Action.SUBSCRIBE): _below_own,
    (Kind.DEVICE, Action.RECEIVE): _below_own,
    (Kind.GATEWAY, Action.PUBLISH): _any_command,
    (Kind.GATEWAY, Action.SUBSCRIBE): _any_answer,
    (Kind.GATEWAY, Action.RECEIVE): _any_answer,
    (Kind.BRIDGE, Action.SUBSCRIBE): _all_messages,
    (Kind.BRIDGE, Action.RECEIVE): _all_messages,
}
