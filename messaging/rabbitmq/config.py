"""RabbitMQ's configuration, from the portal's settings: `manage.py broker_config` writes these files.

Everything is closed that is not needed: no plain listener, a client certificate demanded in the handshake, the user `guest`
gone, the management interface on this machine alone. Facts behind the numbers: docs/adr/0006-rabbitmq.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from messaging.rabbitmq import names

PLUGINS = (
    "rabbitmq_mqtt", "rabbitmq_auth_mechanism_ssl", "rabbitmq_auth_backend_http", "rabbitmq_auth_backend_cache",
    "rabbitmq_management", "rabbitmq_event_exchange", "rabbitmq_prometheus",
)  # fmt: skip
CACHE_TTL_S = 15  # how long RabbitMQ believes an answer of ours; revocation cuts again after it
DEVICE_QUEUE_MESSAGES = 1_000
DEVICE_QUEUE_MS = 30_000  # the longest timeout of a command: what waited longer for its device is nobody's any more
DEVICE_QUEUE_UNUSED_MS = 3_600_000
STREAM_AGE = "7D"
STREAM_BYTES = 20_000_000_000
STREAM_SEGMENT_BYTES = 100_000_000
_ID = "[0-9a-f]{32}"


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where RabbitMQ listens: devices and portal on `bind`; management and metrics on `inside`, for this machine alone."""

    bind: str
    amqps: int
    mqtts: int
    management: int
    metrics: int
    inside: str = "127.0.0.1"


def write(folder: Path, listeners: Listeners, pki: Path, auth_url: str, *, passwords: bool = False) -> list[Path]:
    """Write rabbitmq.conf, enabled_plugins and definitions.json into `folder`, readable by their owner alone; return them.

    `auth_url`: where RabbitMQ asks for decisions, without the question. `passwords`: devices may come without a certificate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        "rabbitmq.conf": main_config(folder, listeners, pki, auth_url, passwords=passwords),
        "enabled_plugins": f"[{','.join(PLUGINS)}].\n",
        "definitions.json": json.dumps(definitions(), indent=1) + "\n",
    }
    return [_write(folder / name, text) for name, text in written.items()]


def _write(path: Path, text: str) -> Path:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def main_config(folder: Path, listeners: Listeners, pki: Path, auth_url: str, *, passwords: bool) -> str:
    """Return rabbitmq.conf."""
    lines: dict[str, object] = {
        "listeners.tcp": "none",
        "listeners.ssl.1": f"{listeners.bind}:{listeners.amqps}",
        "mqtt.listeners.tcp": "none",
        "mqtt.listeners.ssl.1": f"{listeners.bind}:{listeners.mqtts}",
        "ssl_options.cacertfile": pki / "clients-ca.pem",
        "ssl_options.certfile": pki / "server.pem",
        "ssl_options.keyfile": pki / "server.key",
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": _word(not passwords),
        "ssl_options.depth": 2,
        "ssl_options.versions.1": "tlsv1.3",
        "ssl_options.versions.2": "tlsv1.2",
        "ssl_cert_login_from": "common_name",
        "ssl_handshake_timeout": 10_000,
        "handshake_timeout": 10_000,
        "auth_mechanisms.1": "EXTERNAL",
        **({"auth_mechanisms.2": "PLAIN"} if passwords else {}),
        "auth_backends.1": "internal",  # the portal's own users
        "auth_backends.2": "cache",
        "auth_cache.cached_backend": "http",
        "auth_cache.cache_ttl": CACHE_TTL_S * 1000,
        "auth_http.http_method": "post",
        **{f"auth_http.{question}_path": f"{auth_url}/{question}" for question in ("user", "vhost", "resource", "topic")},
        "mqtt.allow_anonymous": "false",
        "mqtt.ssl_cert_login": "true",
        "mqtt.vhost": names.VHOST,
        "mqtt.exchange": names.TOPICS,
        "mqtt.subscription_ttl": "infinity",  # the policy ends unused queues; as an argument it would keep an AMQP device out
        "mqtt.tcp_listen_options.nodelay": "true",
        "tcp_listen_options.nodelay": "true",
        "tcp_listen_options.backlog": 1024,
        "heartbeat": 60,
        "channel_max": 64,
        "load_definitions": folder / "definitions.json",
        "management.tcp.ip": listeners.inside,
        "management.tcp.port": listeners.management,
        "prometheus.tcp.ip": listeners.inside,
        "prometheus.tcp.port": listeners.metrics,
        "log.console": "true",
        "log.console.level": "warning",
        "log.file": "false",
    }
    return "".join(f"{name} = {value}\n" for name, value in lines.items())


def _word(value: bool) -> str:
    return "true" if value else "false"


def definitions() -> dict[str, object]:
    """Return the portal's own users and what bounds the queues, as RabbitMQ loads them at every start."""
    own, events = "^portal\\.bridge\\.", names.EVENTS.replace(".", "\\.")
    return {
        "vhosts": [{"name": names.VHOST}],
        "users": [
            # No password: they come with their certificates or not at all.
            {"name": names.GATEWAY, "password_hash": "", "tags": []},
            {"name": names.BRIDGE, "password_hash": "", "tags": []},
            {"name": names.MANAGER, **_hashed(names.manager_password()), "tags": ["administrator"]},
        ],
        "permissions": [
            _permission(names.GATEWAY, "^amq\\.gen", "^(amq\\.gen.*|amq\\.topic)$", "^(amq\\.gen.*|amq\\.topic)$"),
            _permission(names.BRIDGE, own, own, f"^(portal\\.bridge\\..*|amq\\.topic|{events})$"),
            _permission(names.MANAGER, "^$", "^$", "^$"),
        ],
        # The rules of messaging.authorization in RabbitMQ's terms: to ask us for each of the portal's own messages would cost
        # nine tenths of the speed.
        "topic_permissions": [
            _topics(names.GATEWAY, write=f"^{_ID}\\.[^.]+$", read=f"^server\\.{_ID}\\.[^.]+.*$"),
            _topics(names.BRIDGE, write="^$", read=".*"),
        ],
        "policies": [
            _policy(
                "device-queues",
                f"^{names.DEVICE_QUEUES}",
                {"max-length": DEVICE_QUEUE_MESSAGES, "message-ttl": DEVICE_QUEUE_MS, "expires": DEVICE_QUEUE_UNUSED_MS},
            ),
        ],
    }  # fmt: skip


def stream_arguments() -> dict[str, object]:
    """Return how the bridge declares its stream."""
    return {
        "x-queue-type": "stream",
        "x-max-age": STREAM_AGE,
        "x-max-length-bytes": STREAM_BYTES,
        "x-stream-max-segment-size-bytes": STREAM_SEGMENT_BYTES,
    }


def _permission(user: str, configure: str, write: str, read: str) -> dict[str, str]:
    return {"user": user, "vhost": names.VHOST, "configure": configure, "write": write, "read": read}


def _topics(user: str, *, write: str, read: str) -> dict[str, str]:
    return {"user": user, "vhost": names.VHOST, "exchange": names.TOPICS, "write": write, "read": read}


def _policy(name: str, pattern: str, definition: Mapping[str, object]) -> dict[str, object]:
    return {
        "vhost": names.VHOST, "name": name, "pattern": pattern, "apply-to": "queues", "priority": 1, "definition": definition,
    }  # fmt: skip


def _hashed(password: str) -> dict[str, str]:
    """Return a password as RabbitMQ keeps it: a salt of four bytes and the SHA-256 of salt and password, in base64."""
    salt = os.urandom(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {"password_hash": base64.b64encode(salt + digest).decode(), "hashing_algorithm": "rabbit_password_hashing_sha256"}
