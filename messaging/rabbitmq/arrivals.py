"""Looks at each connection of a device as it is made, by what RabbitMQ's event tells that its question at the door did not.

At the door RabbitMQ asks by the name in a certificate alone; the event also has the certificate's dates. And RabbitMQ lets in a
device over MQTT and AMQP at once, where both would take turns with its commands: as everywhere, the newer connection is kept.
The bridge hands arrivals over once they are in the table of connections. A bad certificate that slips through here is caught by
the warden's look at everybody.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from devices.models import Certificate
from messaging.authorization import Refusal
from messaging.models import BrokerConnection
from messaging.rabbitmq import management
from messaging.rabbitmq.presence import Arrival
from messaging.rabbitmq.warden import certificate_refusal, cut
from messaging.services.broker_access import RegistryUnavailable

logger = logging.getLogger(__name__)

AT_ONCE = 500
CLOSE_AT_ONCE = 20
AGAIN_S = 0.5
GIVE_UP_S = 15.0


@dataclass(frozen=True, slots=True)
class Closing:
    """A connection that another one replaces: to be closed, and from when on that was so (monotonic)."""

    name: str
    device: UUID
    since: float


class Arrivals:
    """Runs in a thread of its own until stopped."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Arrival | None] = queue.SimpleQueue()
        self._open: list[Closing] = []  # RabbitMQ's list lags: a connection younger than 5 s cannot be closed by its name
        self._thread: threading.Thread | None = None

    def came(self, arrival: Arrival) -> None:
        """Have a connection looked at, from any thread."""
        self._waiting.put(arrival)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread = threading.Thread(target=self.run, name="arrivals", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End when what waits has been looked at."""
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(management.TIMEOUT_S)

    def run(self) -> None:
        """Look at what comes, many at a time after an outage."""
        stopping = False
        while not stopping:
            batch = list(self._take())
            stopping = None in batch
            try:
                self._look([one for one in batch if one is not None])
            except (management.ManagementUnavailable, RegistryUnavailable, DatabaseError) as error:
                logger.warning("%d new connections were not looked at: %s", len(batch), error)
            except Exception:
                logger.exception("new connections could not be looked at")
            finally:
                connection.close()

    def _take(self) -> Iterator[Arrival | None]:
        """Yield what waits; nothing, after a while, if there are connections left to close."""
        try:
            yield self._waiting.get(timeout=AGAIN_S if self._open else None)
            for _ in range(AT_ONCE - 1):
                yield self._waiting.get_nowait()
        except queue.Empty:
            return

    def _look(self, arrivals: list[Arrival]) -> None:
        """Close what came with a certificate that is not good, and what the others replace."""
        close_old_connections()
        refused = {one.device: refusal for one in arrivals if (refusal := _refusal(one)) is not None}
        for device, refusal in refused.items():
            # All of the device's go, at once and without the list's lag: who has a better certificate comes back.
            logger.warning("not admitted: %s: %s", device.hex, refusal.reason)
            cut(device.hex, refusal.cause or "refused")
        self._open += _replaced({one.device for one in arrivals} - set(refused))
        # A few at a time: after a broker's end the table is full of connections that it took along.
        now, later = self._open[:CLOSE_AT_ONCE], self._open[CLOSE_AT_ONCE:]
        self._open = later + [one for one in now if not _is_closed(one)]


def _refusal(arrival: Arrival) -> Refusal | None:
    """Say why a connection is not to stay. One without dates came with a password, which the door has compared."""
    if not arrival.validity:
        return None
    return certificate_refusal(Certificate.objects.filter(device_id=arrival.device), arrival.validity)


def _replaced(devices: set[UUID]) -> Iterator[Closing]:
    """Yield all but the newest connection of each device."""
    found = BrokerConnection.objects.filter(device_id__in=devices).order_by("opened_at", "name")
    newest: dict[UUID, str] = {}
    for name, device in found.values_list("name", "device_id"):
        if device in newest:
            yield Closing(newest[device], device, time.monotonic())
        newest[device] = name


def _is_closed(one: Closing) -> bool:
    """Close a connection; false if that has to be tried again. Raises ManagementUnavailable."""
    still_there = BrokerConnection.objects.filter(name=one.name, device_id=one.device).update(cause="replaced")
    if not still_there or time.monotonic() - one.since > GIVE_UP_S:
        return True
    closed = management.close_connection(one.name, "the same device connected again")
    if closed:
        logger.info("replaced: a connection of %s", one.device.hex)
    return closed
