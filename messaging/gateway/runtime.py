"""The gateway of this process, for the event loop and for plain threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

from django.conf import settings
from django.db import connections

from iotportal.problems import Problem
from iotportal.valkey import Valkey
from messaging.gateway.admission import SCRIPTS
from messaging.gateway.core import MAX_TIMEOUT_S, Gateway, about_record
from messaging.gateway.mqtt import MqttTransport
from messaging.gateway.transport import Transport

T = TypeVar("T")

_gateway: Gateway | None = None
_lock = threading.Lock()


def make_gateway() -> Gateway:
    """Return a gateway as the settings say, not started."""
    return Gateway(_make_transport(), Valkey(settings.VALKEY_URL, SCRIPTS, about_record))


def _make_transport() -> Transport:
    if settings.BROKER == "rabbitmq":
        from messaging.gateway.amqp import AmqpTransport  # pika is loaded only where it is used

        return AmqpTransport(settings.AMQP_HOST, settings.AMQP_PORT, settings.PKI_DIR)
    return MqttTransport(settings.MQTT_HOST, settings.MQTT_PORT, settings.PKI_DIR, settings.BROKER_SOCKETS)


async def start() -> Gateway:
    """Start this process's gateway on the running loop; it is started once."""
    global _gateway
    if _gateway is None:
        _gateway = make_gateway()
        await _gateway.start()
    return _gateway


async def stop() -> None:
    """Stop this process's gateway."""
    global _gateway
    gateway, _gateway = _gateway, None
    if gateway is not None:
        await gateway.stop()


def _in_thread() -> Gateway:
    """Return the process's gateway; a process without a web server gets one on a thread of its own."""
    with _lock:
        if _gateway is not None:
            return _gateway
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="gateway", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(start(), loop).result(10)


def current() -> Gateway:
    """Return the gateway of this process's event loop.

    Raises:
        Problem: 503, it is not started.
    """
    if _gateway is None:
        raise Problem(503, "unavailable", "The portal is starting.", retry_after_s=1)
    return _gateway


def run_from_thread(work: Callable[[Gateway], Coroutine[object, object, T]]) -> T:
    """Run `work` on the gateway's loop from synchronous code and wait for what it returns.

    Raises:
        Problem: as `work` does; 503 if it takes longer than any command may.
    """
    gateway = _in_thread()
    for connection in connections.all(initialized_only=True):  # not to be held while a device takes its time
        if not connection.in_atomic_block:
            connection.close()
    future = asyncio.run_coroutine_threadsafe(work(gateway), gateway.loop)
    try:
        return future.result(MAX_TIMEOUT_S + 5)
    except FutureTimeoutError as error:
        future.cancel()
        raise Problem(503, "unavailable", "The portal did not get round to the command.", retry_after_s=1) from error
