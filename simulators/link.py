"""One simulated device on its broker: connects, answers, reboots, comes back."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTProtocolVersion

from simulators import diagnosis, profiles
from simulators.console import Console
from simulators.device import Device, Outgoing
from simulators.diagnosis import Diagnosis
from simulators.faults import FaultInjector
from simulators.settings import DeviceSettings
from simulators.transport import HandedClient, open_tls

CONNECT_TIMEOUT_S = 10.0
GOODBYE_TIMEOUT_S = 1.0
RESTART_ANSWER_TIMEOUT_S = 1.0
# A connection that lives this long was a good one: the next pause begins small again.
SETTLED_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_REFUSED_PAUSE_S = 0.5, 15.0, 60.0
CUT_OFTEN = 4


@dataclass(frozen=True)
class LinkOptions:
    """How the devices of one process connect; the same for all of them."""

    mqtt31: bool = False
    presence: bool | None = None
    """None: as the profile says."""
    keepalive_s: int = 60
    reboot_s: float = 2.0
    deaf_s: float | None = None
    """None: as the profile says; only for a profile that goes deaf."""


@dataclass
class Counts:
    """What went through a fleet."""

    connected: int = 0
    commands: int = 0
    sent: int = 0
    missed: int = 0
    drops: int = 0


@dataclass
class Shared:
    """What all links of one process have in common."""

    console: Console
    options: LinkOptions
    # Broker and processor do TLS for a few at a time; five hundred at once only time out together.
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(32))
    counts: Counts = field(default_factory=Counts)


class Pause:
    """Exponential back-off with jitter, so that a fleet does not come back in one instant."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._next_s = FIRST_PAUSE_S

    def reset(self) -> None:
        """Begin small again."""
        self._next_s = FIRST_PAUSE_S

    def take(self, *, refused: bool) -> float:
        """Return how long to wait now, in seconds; after a refusal the pauses grow longer."""
        longest = LONGEST_REFUSED_PAUSE_S if refused else LONGEST_PAUSE_S
        now = min(self._next_s, longest)
        self._next_s = min(self._next_s * 2, LONGEST_REFUSED_PAUSE_S)
        return now * self._chance.uniform(0.5, 1.0)


class Link:
    """Runs one pure `Device` on MQTT. All methods belong to the thread of the event loop.

    `listening` is set while the broker has acknowledged the subscription and the device is not deaf.
    """

    def __init__(
        self, settings: DeviceSettings, device: Device, context: ssl.SSLContext, shared: Shared, faults: FaultInjector
    ) -> None:
        self.settings = settings
        self.device = device
        self.listening = asyncio.Event()
        self.refusal: Diagnosis | None = None
        self.on_refused: Callable[[Link], None] | None = None
        self._context = context
        self._shared = shared
        self._faults = faults
        self._presence = device.profile.presence if shared.options.presence is None else shared.options.presence
        self._filter = f"{settings.device_id}/#"
        self._client = self._new_client()
        self._pause = Pause(random.Random(settings.device_id))
        self._stopping = asyncio.Event()
        self._ended: asyncio.Future[Diagnosis | None] | None = None
        self._acknowledged: dict[int, asyncio.Future[None]] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._accepted = False
        self._busy = False
        self._restarting = False
        self._away_s: float | None = None
        self._writing = False
        self._said = ""

    # -- life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Stay connected until `stop()`."""
        brief = 0
        while not self._stopping.is_set():
            since = time.monotonic()
            trouble = None if self._restarting else await self._connect_and_stay()
            if self._restarting:
                await self._reboot()
                continue
            if self._stopping.is_set() or trouble is None:
                continue
            if time.monotonic() - since > SETTLED_S:
                self._pause.reset()
                brief = 0
            brief += trouble is diagnosis.LOST
            await self._despair(diagnosis.TAKEN_OVER if brief >= CUT_OFTEN else trouble)

    def stop(self) -> None:
        """Say goodbye and end `run()`."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._goodbye()

    def type_line(self, line: str) -> None:
        """Obey a line typed on the device's UART and publish what it raises."""
        self.send(self.device.type_line(line))

    def send(self, outgoing: list[Outgoing]) -> None:
        """Publish what the device raised by itself."""
        self._send_all(self._faults.spoil(outgoing))
        self._flush()

    def go_away(self, away_s: float, *, goodbye: bool) -> None:
        """Leave the broker for some time, with a goodbye or as one whose power fails; come back as after a reboot.

        One that is connecting stays; one that has not begun begins later.
        """
        is_connecting = self._ended is not None and not self._accepted
        if self._restarting or self._stopping.is_set() or is_connecting:
            return
        self._restarting = True  # and not busy: one that has no connection yet would lose none, and stay it
        self._away_s = away_s
        if goodbye:
            self._goodbye()
        else:
            self._cut(None)

    def tick(self) -> None:
        """Do paho's keepalive; call about once a second."""
        self._client.loop_misc()
        self._flush()

    async def _connect_and_stay(self) -> Diagnosis | None:
        """Connect and return why the connection ended; None when that was wanted."""
        settings = self.settings
        async with self._shared.gate:
            if self._stopping.is_set():
                return None
            try:
                tls = await open_tls(settings.host, settings.port, self._context, CONNECT_TIMEOUT_S)
            except OSError as error:
                return diagnosis.explain(error, host=settings.host, port=settings.port)
            self._ended = asyncio.get_running_loop().create_future()
            self._client.hand(tls)
            self._client.connect_async(settings.host, settings.port, self._shared.options.keepalive_s)
            self._client.reconnect()
            self._flush()
            # Leave the gate when the broker listens to us, or will not.
            listening = asyncio.ensure_future(self.listening.wait())
            either: set[asyncio.Future[Any]] = {listening, self._ended}
            done, _ = await asyncio.wait(either, timeout=CONNECT_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            listening.cancel()
            if not done:
                self._cut(diagnosis.SILENT_BROKER)
        return await self._ended

    async def _despair(self, trouble: Diagnosis) -> None:
        """Say what is wrong (once, not on every try), and wait before the next try."""
        if trouble.refused:
            self.refusal = trouble
            if self.on_refused is not None:
                self.on_refused(self)
        pause_s = self._pause.take(refused=trouble.refused)
        if str(trouble) != self._said:
            self._said = str(trouble)
            self._shared.console.trouble(self.device.name, f"{trouble} (next try in {pause_s:.1f} s)")
        await self._sleep(pause_s)

    async def _reboot(self) -> None:
        away_s, self._away_s = self._shared.options.reboot_s if self._away_s is None else self._away_s, None
        self._shared.console.event(self.device.name, f"is away, back in {away_s:g} s")
        await self._sleep(away_s)
        self._restarting = False
        self.device.restart()
        # A reboot forgets what was not acknowledged yet: a new client.
        self._client = self._new_client()

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not longer than until `stop()`."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({stopping}, timeout=seconds)
        stopping.cancel()

    def _goodbye(self) -> None:
        """Leave in order: presence first, then DISCONNECT, so that the broker does not publish the last will."""
        if self._client.socket() is None:
            return
        if self._presence and self._accepted:
            self._publish(Outgoing("presence", b'{"value": "offline"}'))
        self._client.disconnect()
        self._flush()
        asyncio.get_running_loop().call_later(GOODBYE_TIMEOUT_S, self._cut, None, self._ended)

    def _cut(self, why: Diagnosis | None, connection: asyncio.Future[Diagnosis | None] | None = None) -> None:
        """Close the socket of a connection that does not end by itself (`connection`: only if it is still that one)."""
        if self._ended is None or self._ended.done() or connection not in (None, self._ended):
            return
        self._ended.set_result(why)
        # connect_async closes paho's socket; nothing is sent on the way.
        self._client.connect_async(self.settings.host, self.settings.port, self._shared.options.keepalive_s)
        self._forget_connection()

    def _forget_connection(self) -> None:
        if self._accepted:
            self._shared.counts.connected -= 1
        self._accepted = self._busy = False
        self.listening.clear()
        for task in self._work:
            task.cancel()
        for waiting in self._acknowledged.values():
            waiting.cancel()
        self._acknowledged.clear()

    # -- paho and the event loop -----------------------------------------------------------------

    def _new_client(self) -> HandedClient:
        protocol = MQTTProtocolVersion.MQTTv31 if self._shared.options.mqtt31 else MQTTProtocolVersion.MQTTv311
        client = HandedClient(self.settings.device_id, protocol)
        if self.settings.password:
            client.username_pw_set(self.settings.device_id, self.settings.password)
        client.max_inflight_messages_set(200)
        client.max_queued_messages_set(1000)
        if self._presence:
            client.will_set(f"server/{self.settings.device_id}/presence", b'{"value": "offline"}', qos=1)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_acknowledged
        client.on_publish = self._on_acknowledged
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        # Set so that paho never writes from inside a call; `_flush` does, after every call into it.
        client.on_socket_register_write = lambda *_: None
        return client

    def _on_socket_open(self, client: mqtt.Client, userdata: Any, sock: Any) -> None:
        asyncio.get_running_loop().add_reader(sock.fileno(), self._readable)

    def _on_socket_close(self, client: mqtt.Client, userdata: Any, sock: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock.fileno())
        loop.remove_writer(sock.fileno())
        self._writing = False

    def _readable(self) -> None:
        self._client.loop_read()
        while self._client.pending():
            self._client.loop_read()
        self._flush()

    def _flush(self) -> None:
        """Write what paho has queued, now; the rest when the socket takes it."""
        client = self._client
        if client.want_write():
            client.loop_write()
        sock: Any = client.socket()
        if sock is None or client.want_write() == self._writing:
            return
        loop = asyncio.get_running_loop()
        self._writing = not self._writing
        if self._writing:
            loop.add_writer(sock.fileno(), self._flush)
        else:
            loop.remove_writer(sock.fileno())

    # -- what the broker says --------------------------------------------------------------------

    def _on_connect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(diagnosis.explain_connack(reason.value))
            return
        self._accepted = True
        self._shared.counts.connected += 1
        client.subscribe(self._filter, qos=1)

    def _on_subscribe(self, client: mqtt.Client, userdata: Any, mid: int, reasons: Any, properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            # Not from here: paho holds its callback lock, and closing calls back.
            asyncio.get_running_loop().call_soon(self._cut, diagnosis.SUBSCRIPTION_REFUSED)
            return
        if mid in self._acknowledged:
            self._on_acknowledged(client, userdata, mid)
            return
        self._said, self.refusal = "", None
        self.listening.set()
        version = getattr(client.socket(), "version", lambda: "TLS")()
        self._shared.console.event(
            self.device.name, f"connected to {self.settings.host}:{self.settings.port} ({version}), listens to {self._filter}"
        )
        if self._presence:
            self._publish(Outgoing("presence", b'{"value": "online"}'))

    def _on_acknowledged(self, client: mqtt.Client, userdata: Any, mid: int, *_: Any) -> None:
        waiting = self._acknowledged.pop(mid, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _on_disconnect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        was_accepted = self._accepted
        self._forget_connection()
        if self._ended is None or self._ended.done():
            return
        error = self._client.read_error
        if self._stopping.is_set() or self._restarting:
            self._ended.set_result(None)
            return
        self._shared.counts.drops += 1
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            self._ended.set_result(diagnosis.explain(error, host=self.settings.host, port=self.settings.port))
        else:
            self._ended.set_result(diagnosis.LOST if was_accepted else diagnosis.HUNG_UP_EARLY)

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        try:
            api = message.topic.split("/", 1)[1]
        except (UnicodeDecodeError, IndexError):
            return
        payload = bytes(message.payload)
        self._shared.console.came(self.device.name, api, payload)
        if self._busy or self._restarting:
            self._shared.counts.missed += 1
            self._shared.console.event(self.device.name, f"was busy and missed {api}")
            return
        self._shared.counts.commands += 1
        if self._faults.reboots():
            self._lose_power()
            return
        answers = self.device.handle(api, payload)
        restart = any(answer.then_restart for answer in answers)
        outgoing = self._faults.spoil(answers)
        if self.device.profile.deaf or restart:
            self._busy = True
            self._start(self._work_alone(outgoing, restart=restart))
        else:
            self._send_all(outgoing)

    def _lose_power(self) -> None:
        """Go without a word, as in a brown-out: the broker finds out by itself, and publishes the last will."""
        self._busy = self._restarting = True
        # Not from here: paho holds its callback lock, and closing calls back.
        asyncio.get_running_loop().call_soon(self._cut, None)

    # -- what the device says --------------------------------------------------------------------

    def _send_all(self, outgoing: list[Outgoing]) -> None:
        for message in outgoing:
            if message.after_s > 0:
                asyncio.get_running_loop().call_later(message.after_s, self._publish_now, message)
            else:
                self._publish(message)

    def _publish_now(self, message: Outgoing) -> None:
        self._publish(message)
        self._flush()

    def _publish(self, message: Outgoing) -> int | None:
        """Queue one message at paho; return its packet id, None when there is no connection."""
        if not self._accepted:
            self._shared.console.event(self.device.name, f"is not connected: {message.api} was not sent")
            return None
        self._shared.console.went(self.device.name, message.api, message.payload)
        self._shared.counts.sent += 1
        return self._client.publish(f"server/{self.settings.device_id}/{message.api}", message.payload, qos=1).mid

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _work_alone(self, outgoing: list[Outgoing], *, restart: bool) -> None:
        """Answer one command with nothing else in between: deaf where the profile is, then reboot if asked to."""
        deaf_s = profiles.deaf_s(self.device.profile)
        if deaf_s is not None:
            self.listening.clear()
            await self._acknowledgement(self._client.unsubscribe(self._filter)[1])
        began = asyncio.get_running_loop().time()
        for message in sorted(outgoing, key=lambda found: found.after_s):
            await asyncio.sleep(began + message.after_s - asyncio.get_running_loop().time())
            mid = self._publish(message)
            if mid is not None:
                await self._acknowledgement(mid, RESTART_ANSWER_TIMEOUT_S if restart else None)
        if restart:
            self._restarting = True
            self._goodbye()
            return
        if deaf_s is not None:
            await asyncio.sleep(deaf_s if self._shared.options.deaf_s is None else self._shared.options.deaf_s)
            await self._acknowledgement(self._client.subscribe(self._filter, qos=1)[1])
            self.listening.set()
        self._busy = False

    async def _acknowledgement(self, mid: int | None, timeout_s: float | None = None) -> None:
        """Send what is queued and wait for the broker's answer to packet `mid`."""
        if mid is None:
            return
        waiting = self._acknowledged[mid] = asyncio.get_running_loop().create_future()
        self._flush()
        await asyncio.wait({waiting}, timeout=timeout_s)
        if waiting.cancelled():
            raise asyncio.CancelledError
