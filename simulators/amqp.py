"""Simulated devices on RabbitMQ over AMQP 0-9-1: `python -m simulators.amqp --zip greenhouse-pump.zip`.

The command line is that of `simulators.mqtt`; a profile that goes deaf hears all the same here, for no such firmware speaks AMQP.
Needs pika. One thread a device: for trying things out, not for load.
"""

from __future__ import annotations

import argparse
import random
import signal
import ssl
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pika
from pika.credentials import ExternalCredentials, PlainCredentials
from pika.exceptions import AMQPConnectionError, AMQPError, ProbableAuthenticationError, StreamLostError

from simulators import mqtt
from simulators.console import Console
from simulators.device import Device, Outgoing
from simulators.faults import FaultInjector
from simulators.link import Pause
from simulators.profiles import ProfileProblem
from simulators.settings import DeviceSettings, SettingsError

PORT = 5671
EXCHANGE = "amq.topic"
HEARTBEAT_S = 60
CONNECT_TIMEOUT_S = 10.0


class AmqpDevice:
    """Runs one pure `Device` on AMQP, in the thread that calls `run`. `listening` is set while its queue is bound."""

    def __init__(
        self, settings: DeviceSettings, context: ssl.SSLContext, options: mqtt.Options, console: Console | None = None
    ) -> None:
        self.settings = settings
        self.listening = threading.Event()
        self.refused = threading.Event()
        self._context, self._options = context, options
        self._console = console or Console(quiet=True)
        name = settings.name
        self.device = Device(
            settings.device_id, name=name, profile=settings.profile, setup=options.setup,
            on_print=lambda text: self._console.uart(name, text),
        )  # fmt: skip
        self._faults = FaultInjector(options.faults, seed=options.seed, device_id=settings.device_id)
        self._pause = Pause(random.Random(settings.device_id))  # noqa: S311 - spreads a fleet, no secret
        self._stopping = threading.Event()
        self._connection: Any = None
        self._channel: Any = None

    def run(self) -> None:
        """Stay connected until `stop`."""
        while not self._stopping.is_set():
            try:
                self._connect_and_stay()
            except (AMQPError, OSError) as error:
                refused = not isinstance(error, StreamLostError) and _is_refusal(error)
                if refused:
                    self.refused.set()
                    if self._options.once_refused_exit:
                        return
                pause_s = self._pause.take(refused=refused)
                self._console.trouble(self.device.name, f"{error or type(error).__name__} (next try in {pause_s:.1f} s)")
                self._stopping.wait(pause_s)
            finally:
                self.listening.clear()

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._stopping.set()
        self._soon(lambda: None)

    def type_line(self, line: str) -> None:
        """Obey a line typed on the device's UART, from any thread."""
        self._soon(lambda: self._send(self.device.type_line(line)))

    def _soon(self, call: Any) -> None:
        connection = self._connection
        if connection is not None and connection.is_open:
            connection.add_callback_threadsafe(call)

    def _connect_and_stay(self) -> None:
        settings, id = self.settings, self.settings.device_id
        credentials = PlainCredentials(id, settings.password) if settings.password else ExternalCredentials()
        parameters = pika.ConnectionParameters(
            settings.host, settings.port, "/", credentials, heartbeat=HEARTBEAT_S, socket_timeout=CONNECT_TIMEOUT_S,
            ssl_options=pika.SSLOptions(self._context, settings.host), connection_attempts=1,
        )  # fmt: skip
        self._connection = connection = pika.BlockingConnection(parameters)
        try:
            self._channel = channel = connection.channel()
            queue = f"mqtt-subscription-{id}qos1"
            channel.queue_declare(queue, durable=True, auto_delete=True)
            channel.queue_bind(queue, EXCHANGE, f"{id}.#")
            channel.basic_consume(queue, self._heard)
            self._pause.reset()
            self._console.event(self.device.name, f"connected to {settings.host}:{settings.port}, listens to {id}.#")
            self.listening.set()
            while not self._stopping.is_set():
                connection.process_data_events(1.0)
        finally:
            if connection.is_open:
                connection.close()

    def _heard(self, channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        api = method.routing_key.partition(".")[2].replace(".", "/")
        self._console.came(self.device.name, api, body)
        channel.basic_ack(method.delivery_tag)
        if self._faults.reboots():
            self._reboot()
            return
        self._send(self.device.handle(api, body))

    def _send(self, outgoing: list[Outgoing]) -> None:
        for message in self._faults.spoil(outgoing):
            if message.after_s:
                self._connection.call_later(message.after_s, lambda message=message: self._publish(message))
            else:
                self._publish(message)

    def _publish(self, message: Outgoing) -> None:
        key = f"server.{self.settings.device_id}.{message.api}"
        self._channel.basic_publish(EXCHANGE, key, message.payload, pika.BasicProperties(delivery_mode=2))
        self._console.went(self.device.name, message.api, message.payload)
        if message.then_restart:
            self._reboot()

    def _reboot(self) -> None:
        self._console.event(self.device.name, "reboots")
        self.device.restart()
        self._connection.close()


def _is_refusal(error: BaseException) -> bool:
    """Say whether the broker does not want this device, rather than being away."""
    refusals = (ProbableAuthenticationError, pika.exceptions.ConnectionClosedByBroker, pika.exceptions.ChannelClosedByBroker)
    return isinstance(error, refusals) or (isinstance(error, AMQPConnectionError) and "ssl" in repr(error).lower())


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line says; returns the exit code."""
    parser = mqtt._parser()
    parser.description = "Simulated devices that speak the portal's protocol over AMQP with mutual TLS."
    arguments: argparse.Namespace = parser.parse_args(argv)
    arguments.port = arguments.port or PORT
    try:
        found = mqtt._devices(arguments)
        options = mqtt.options_of(arguments)
    except (SettingsError, ProfileProblem, ValueError) as error:
        print(error, file=sys.stderr)
        return mqtt.EXIT_SETTINGS
    if not found:
        parser.error("say which devices: --zip, --fleet or --id")
    console = Console(quiet=arguments.quiet, traffic=len(found) <= mqtt.SHOW_TRAFFIC_UP_TO)
    devices = [AmqpDevice(settings, context, options, console) for settings, context in found]
    threads = [threading.Thread(target=device.run, daemon=True) for device in devices]

    def stop(*_: object) -> None:
        for device in devices:
            device.stop()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)
    for thread in threads:
        thread.start()
    if arguments.console or sys.stdin.isatty():
        threading.Thread(target=_read_lines, args=(devices,), daemon=True).start()
    for thread in threads:
        while thread.is_alive():  # in turns, so that signals are heard
            thread.join(0.5)
    return mqtt.EXIT_REFUSED if arguments.once_refused_exit and all(device.refused.is_set() for device in devices) else 0


def _read_lines(devices: list[AmqpDevice]) -> None:
    """Type lines on the first device's UART, or on the one that @NAME says."""
    for line in sys.stdin:
        named, text = devices[0], line.rstrip("\n")
        if text.startswith("@"):
            name, _, text = text[1:].partition(" ")
            named = next((device for device in devices if device.device.name == name), named)
        named.type_line(text)


if __name__ == "__main__":
    sys.exit(main())
