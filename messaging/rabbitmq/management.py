"""RabbitMQ's management interface, as far as the portal needs it: who is connected, since when,
to close a connection, and whether a queue is there.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings

from messaging.rabbitmq.names import MANAGER, VHOST, manager_password

TIMEOUT_S = 10.0
NOT_THERE: list[Any] = []  # the answer to a question about what there is not
_COLUMNS = "name,user,protocol,ssl_protocol,peer_host,connected_at,peer_cert_validity"


class ManagementUnavailable(Exception):
    """The management interface cannot be reached, or does not know us."""


def connections() -> list[dict[str, Any]]:
    """Return the open connections. Raises ManagementUnavailable."""
    found = _ask("GET", f"/api/connections?columns={_COLUMNS}")
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("name"), str)]


def close_connections(user: str, reason: str) -> None:
    """Close all connections of a user; it has none afterwards, if it is not let in again. Raises ManagementUnavailable."""
    _ask("DELETE", f"/api/connections/username/{quote(user, safe='')}", reason)


def close_connection(name: str, reason: str) -> bool:
    """Close one connection; False if there is none of that name: it has gone, or is younger than the interface's list (5 s).

    Raises:
        ManagementUnavailable: it cannot be done.
    """
    return _ask("DELETE", f"/api/connections/{quote(name, safe='')}", reason) is not NOT_THERE


def has_queue(name: str, timeout_s: float) -> bool:
    """Say whether messages can be routed to a queue now: just after its start RabbitMQ knows some only later.

    Raises:
        ManagementUnavailable: it cannot be said, or takes longer than `timeout_s`.
    """
    return _ask("GET", f"/api/queues/{quote(VHOST, safe='')}/{quote(name)}?columns=name", timeout_s=timeout_s) is not NOT_THERE


def _ask(method: str, target: str, reason: str = "", timeout_s: float = TIMEOUT_S) -> Any:
    address = urlsplit(settings.RABBITMQ_URL)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    token = b64encode(f"{MANAGER}:{manager_password()}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", **({"X-Reason": reason} if reason else {})}
    with contextlib.closing(kind(address.hostname or "", address.port, timeout=timeout_s)) as link:
        try:
            link.request(method, target, headers=headers)
            answer = link.getresponse()
            body = answer.read()
            if answer.status == 404:
                return NOT_THERE
            if answer.status >= 300:
                raise ManagementUnavailable(f"{method} {target.partition('?')[0]}: {answer.status}")
            return json.loads(body) if body else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ManagementUnavailable(str(error)) from error
