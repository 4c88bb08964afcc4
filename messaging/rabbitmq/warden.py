"""Cuts the connections of devices that are not let in any more, on RabbitMQ.

RabbitMQ believes an answer of ours for a while (`config.CACHE_TTL_S`), and tells us the name in a certificate but not which one
it was. So whoever is cut is looked at again after that time, and everybody who is connected from time to time: whether the device
still has anything to come in with, and whether the certificate it came with is a good one. Runs beside each bridge; the one in
office and those who stand by do the same, for to cut twice does no harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from django.utils.dateparse import parse_datetime

from devices.models import Certificate
from messaging.authorization import Refusal, is_device_id
from messaging.broker.valkey import DISCONNECT_CHANNEL
from messaging.models import BrokerConnection
from messaging.rabbitmq import management
from messaging.rabbitmq.config import CACHE_TTL_S
from messaging.services.broker_access import RegistryUnavailable, admit_certificate_name

logger = logging.getLogger(__name__)

AGAIN_S = CACHE_TTL_S + 1.0
LOOK_EVERY_S = 30.0
RETRY_S = 1.0
AT_ONCE = 500  # connections that are looked at in one query


class Warden:
    """Runs in threads of its own until stopped: one for orders, one to look at everybody, which takes long where many are."""

    def __init__(self, *, again_s: float = AGAIN_S, look_every_s: float = LOOK_EVERY_S) -> None:
        self._again_s, self._look_every_s = again_s, look_every_s
        self._due: list[tuple[float, str, str]] = []  # (when, device, cause), in the order of the times
        self._stop = threading.Event()
        self._look_now = threading.Event()
        self._threads: list[threading.Thread] = []
        self.listening = threading.Event()

    def start(self) -> None:
        """Begin, in two threads."""
        for name, work in (("warden", self.run), ("warden's look", self._look_around)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._look_now.set()
        for thread in self._threads:
            thread.join(management.TIMEOUT_S)

    def run(self) -> None:
        """Listen to orders, and come back after every failure; all are looked at anew then, for orders may have been missed."""
        complained = False
        while not self._stop.is_set():
            try:
                self._listen()
            except (redis.RedisError, management.ManagementUnavailable, RegistryUnavailable, DatabaseError) as error:
                if not complained:
                    logger.warning("cannot cut revoked devices from RabbitMQ, trying again: %s", error)
                complained = not self.listening.is_set()
                self.listening.clear()
                self._stop.wait(RETRY_S)
            except Exception:
                logger.exception("the warden failed and begins again")
                self._stop.wait(RETRY_S)
            finally:
                connection.close()

    def _listen(self) -> None:
        with redis.Redis.from_url(settings.VALKEY_URL, decode_responses=True, encoding_errors="replace") as link:
            orders = link.pubsub()
            orders.subscribe(DISCONNECT_CHANNEL)
            while not self._stop.is_set():
                message = orders.get_message(timeout=0.2)
                if message is not None and message["type"] == "subscribe":
                    self.listening.set()
                    self._look_now.set()
                elif message is not None and message["type"] == "message":
                    self._obey(str(message["data"]))
                self._cut_again()

    def _look_around(self) -> None:
        """Look at everybody from time to time, and whenever orders may have been missed."""
        complained = False
        while True:
            self._look_now.clear()
            if self._stop.is_set():  # asked after clearing, for `stop` wakes this last of all
                return
            pause_s = self._look_every_s
            try:
                self.look()
                complained = False
            except (management.ManagementUnavailable, RegistryUnavailable, DatabaseError) as error:
                if not complained:
                    logger.warning("cannot look at the connections to RabbitMQ, trying again: %s", error)
                complained, pause_s = True, RETRY_S
            except Exception:  # whatever it is: a thread that ended would look at nobody any more
                logger.exception("the look at the connections to RabbitMQ failed")
            finally:
                connection.close()
            self._look_now.wait(pause_s)

    def _obey(self, order: str) -> None:
        """Cut a device: the order is its id, why, and with which certificate (all go: who has a better one comes back)."""
        device, cause, *_ = [*order.split(" "), ""]
        if is_device_id(device):
            self._due.append((time.monotonic() + self._again_s, device, cause))
            cut(device, cause or "kicked")

    def _cut_again(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            _, device, cause = self._due[0]
            # Not by the order again: meanwhile it may have come back with a certificate that is good.
            self.look(device, cause)
            del self._due[0]

    def look(self, device: str = "", cause: str = "") -> None:
        """Close what would not be let in now, of everybody or of one device.

        Raises:
            ManagementUnavailable, RegistryUnavailable: it cannot be told, or cannot be done.
        """
        close_old_connections()
        listed = [one for one in management.connections() if is_device_id(_user(one)) and device in {"", _user(one)}]
        for begin in range(0, len(listed), AT_ONCE):
            part = listed[begin : begin + AT_ONCE]
            good = _good(part)
            for one in part:
                if one["name"] not in good:
                    _judge(one, cause, alone=bool(device))


def _judge(one: dict[str, Any], cause: str, *, alone: bool) -> None:
    """Close a connection that would not be let in now. `alone`: it is about this device, not about everybody."""
    validity = _validity(one)
    # One without dates came with a password: when that has ended it goes, and comes back if it has a new one.
    refusal = refusal_of(_user(one), validity) if validity else Refusal("its password has ended") if alone else None
    if refusal is not None:
        logger.warning("no longer admitted: %s: %s", _user(one), refusal.reason)
        _note([one["name"]], refusal.cause or cause or "refused")
        management.close_connection(one["name"], refusal.reason)


def _good(connections: list[dict[str, Any]]) -> set[str]:
    """Return the names of those that come with a good certificate of their device: one query for all of them."""
    devices = [UUID(hex=_user(one)) for one in connections]
    found = Certificate.objects.filter(device_id__in=devices, device__deleted_at=None)
    good = {(one.device_id.hex, one.not_before, one.not_after) for one in found if one.is_valid()}
    return {one["name"] for one in connections if (_user(one), *_dates(_validity(one))) in good}


def _user(one: dict[str, Any]) -> str:
    return str(one.get("user") or "")


def _validity(one: dict[str, Any]) -> str:
    return str(one.get("peer_cert_validity") or "")


def _dates(validity: str) -> tuple[datetime | None, datetime | None]:
    """Return the dates of a certificate as RabbitMQ tells them: "FROM - TO"."""
    begins, _, ends = validity.partition(" - ")
    return parse_datetime(begins.strip()), parse_datetime(ends.strip())


def refusal_of(device: str, validity: str) -> Refusal | None:
    """Say why a connection would not be let in now: its device, or the certificate with these dates ("FROM - TO").

    Of the certificate RabbitMQ tells the dates, which stand for its number: where two of a device were made in the same second,
    one that is good speaks for both.
    """
    verdict = admit_certificate_name(device)
    if isinstance(verdict, Refusal):
        return verdict
    return certificate_refusal(Certificate.objects.filter(device_id=UUID(hex=device)), validity)


def certificate_refusal(certificates: Iterable[Certificate], validity: str) -> Refusal | None:
    """Say why the one with these dates, of a device's certificates, would not be let in now."""
    dates = _dates(validity)
    found = [certificate for certificate in certificates if (certificate.not_before, certificate.not_after) == dates]
    if not found:
        return Refusal("unknown certificate")
    if any(certificate.is_valid() for certificate in found):
        return None
    if any(certificate.is_expired() for certificate in found):
        return Refusal("the certificate has ended", "expired")
    return Refusal("the certificate was revoked", "revoked")


def cut(device: str, cause: str) -> None:
    """Close all connections of a device. Raises ManagementUnavailable."""
    close_old_connections()
    names: list[Any] = list(BrokerConnection.objects.filter(device_id=UUID(hex=device)).values_list("name", flat=True))
    _note(names, cause)
    management.close_connections(device, cause)
    logger.info("cut: %s (%s)", device, cause)


def _note(names: Iterable[str], cause: str) -> None:
    """Leave word why, for the event of the connection's end."""
    BrokerConnection.objects.filter(name__in=list(names)).update(cause=cause)
