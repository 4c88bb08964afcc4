"""The broker: who is connected, which sessions there are, and where a message goes."""

import asyncio
import json
import logging
import os
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from messaging import authorization
from messaging.authorization import SERVICES, Action, Identity, Kind, Refusal
from messaging.broker import packets
from messaging.broker.connection import Connection, Reason
from messaging.broker.doorway import Doorway
from messaging.broker.limits import Limits
from messaging.broker.packets import Message
from messaging.broker.session import Bounds, Budget, Session
from messaging.broker.takeovers import Shared, Takeovers
from messaging.broker.tls import Channel, PlainChannel
from messaging.broker.topics import SubscriptionTree, matches

logger = logging.getLogger(__name__)

Admit = Callable[[str, str, str], Awaitable[Identity | Refusal]]
Proof = Callable[[str, bytes], str]
May = Callable[[Identity, str, str], bool]
TellShared = Callable[[Shared], Awaitable[None]]

PRESENCE_TOPIC = "$SYS/portal/connections/"
REFUSAL_TOPIC = "$SYS/portal/refusals/"
_KNOWN_ROUTES = 50_000
_KNOWN_REFUSED = 10_000


@dataclass(frozen=True, slots=True)
class PasswordDoor:
    """A second port, for devices that cannot hold a certificate: TLS with the server's certificate alone.

    `proof(device id, password)` returns what stands for the password in place of a fingerprint, beginning with
    `messaging.authorization.PASSWORD`; the broker keeps nothing else of it.
    """

    tls: ssl.SSLContext
    proof: Proof
    port: int = 0


class Broker:
    """MQTT broker for mutual TLS.

    `admit(common name, sha256 fingerprint, client id)` decides on each connection whose certificate owns its client
    id, and whether one that has ended is let in; `may(identity, action, topic)` on each topic; both come from outside, so the
    broker knows no database. `tell_shared` is called when a certificate turns out to be in use in two places
    (`messaging.broker.takeovers`).
    `passwords` opens a second port for devices without a certificate, which `admit` and `may` decide about likewise.
    `standing` names sessions that exist from the start and never expire (client id → topic filters, QoS 1):
    what is published before their client first comes is kept for it.
    `sockets` is a folder in which each of the portal's services finds a Unix socket of its own name, by which it comes in without
    TLS; the folder is for the portal's user alone.

    Everything lives in memory and in one event loop: all methods must be called from that loop.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext,
        admit: Admit,
        may: May = authorization.may,
        tell_shared: TellShared | None = None,
        passwords: PasswordDoor | None = None,
        host: str | Sequence[str] = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        standing: Mapping[str, Sequence[str]] | None = None,
        sockets: Path | None = None,
    ) -> None:
        self.tls = tls
        self.admit = admit
        self.may = may
        self.tell_shared = tell_shared
        self.passwords = passwords
        self.limits = limits or Limits()
        self.loop: asyncio.AbstractEventLoop
        self.sessions: dict[str, Session] = {}
        # Refused connections, subscriptions and publishes by common name, until somebody takes them.
        self.refusals: Counter[str] = Counter()
        self.unproven = 0  # refusals of clients who had proven no name, since the start
        self._host = host
        self._port = port
        self._standing = dict(standing or {})
        self._server: asyncio.Server | None = None
        self._password_server: asyncio.Server | None = None
        self._folder = sockets
        self._local: dict[Path, asyncio.Server] = {}
        self._sockets: set[Connection] = set()
        self._clients: dict[str, Connection] = {}
        self._tree: SubscriptionTree[Session] = SubscriptionTree()
        self._routes: dict[bytes, list[tuple[Session, int]]] = {}
        self._retained: dict[str, Message] = {}
        self._unwritten: list[Connection] = []
        self._device_queues = Budget(self.limits.device_queues_bytes)
        # What presence is ordered by: a wall clock may be set back, these two cannot.
        self._epoch = secrets.randbits(62) or 1
        self._announced = 0
        self._refusal_told: dict[str, float] = {}
        self.doorway = Doorway(self.limits.passwords_waiting, self.limits.passwords_waiting_of_address)
        self._takeovers = Takeovers(
            window=self.limits.takeover_seconds, flaps=self.limits.takeover_flaps, quiet=self.limits.takeover_quiet_seconds
        )
        self._telling: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._stopping = False

    # Life

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken, or others can enter the folder of the sockets."""
        self.loop = asyncio.get_running_loop()
        for client_id in self._standing:
            self._prepare(client_id)
        self._server = await self.loop.create_server(
            lambda: Connection(self, Channel(self.tls)),
            self._host,
            self._port,
            backlog=512,
        )
        door = self.passwords
        if door is not None:
            self._password_server = await self.loop.create_server(
                lambda: Connection(self, Channel(door.tls), door), self._host, door.port, backlog=512
            )
        if self._folder is not None:
            await self._open_sockets(self._folder)
        self._sweep()

    async def _open_sockets(self, folder: Path) -> None:
        """Listen on a socket for each of the portal's services; after the ports, so that another broker's are left alone."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (about := folder.stat()).st_uid != os.geteuid() or about.st_mode & 0o077:
            raise PermissionError(
                f"{folder} is open to others; sockets need a folder that only the portal's user can enter (0700)"
            )
        for service in SERVICES:
            path = folder / service
            self._local[path] = await self.loop.create_unix_server(partial(self._by_socket, service), path)
            path.chmod(0o600)

    def _by_socket(self, service: str) -> Connection:
        return Connection(self, PlainChannel(service))

    async def stop(self) -> None:
        """Stop listening and cut every connection; a connected bridge may first take what waits for it.

        Nobody's will is published and nobody's presence announced: a bridge knows that all are gone with the broker.
        """
        self._stopping = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._ending is not None:
            self._ending.cancel()
        for server in self._listening():
            server.close()
        draining = [session for session in self.sessions.values() if session.bounds.lossless]
        for connection in list(self._sockets):
            if connection.session not in draining:
                connection.end(Reason.LOST)
        until = self.loop.time() + self.limits.drain_seconds
        while any(session.connected and session.inflight for session in draining) and self.loop.time() < until:
            await asyncio.sleep(0.01)
        for connection in list(self._sockets):
            connection.end(Reason.LOST)
        for server in self._listening():
            await server.wait_closed()
        for path in self._local:
            path.unlink(missing_ok=True)

    def _listening(self) -> list[asyncio.Server]:
        return [server for server in (self._server, self._password_server, *self._local.values()) if server is not None]

    @property
    def port(self) -> int:
        """The TCP port that is listened on (the one chosen by the system, if 0 was asked for)."""
        if self._server is None:
            raise RuntimeError("broker is not started")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def password_port(self) -> int | None:
        """The TCP port for devices with a password, None if there is none."""
        return int(self._password_server.sockets[0].getsockname()[1]) if self._password_server is not None else None

    def connected(self) -> set[str]:
        """Client ids with an open, admitted connection."""
        return set(self._clients)

    def disconnect(self, client_id: str, reason: Reason = Reason.KICKED, fingerprint: str = "") -> None:
        """Cut this client's connection at once (also one that is just being admitted); its will is published.

        With a `fingerprint` only a connection that was made with that certificate.
        """
        for connection in [found for found in self._sockets if found.client_id == client_id]:
            if not fingerprint or (connection.peer is not None and connection.peer.fingerprint == fingerprint):
                connection.end(reason)

    async def recheck(self) -> int:
        """Ask again for every open connection and cut those refused now; return how many could not be decided."""
        undecided = 0
        for client_id, connection in list(self._clients.items()):
            if connection.peer is None or self._clients.get(client_id) is not connection:
                continue
            try:
                verdict = await self.admit(connection.peer.common_name, connection.peer.fingerprint, client_id)
            except Exception as error:
                logger.error("re-check of %s could not be decided: %r", client_id, error)
                undecided += 1
                continue
            if isinstance(verdict, Refusal):
                logger.warning("no longer admitted: %s: %s", client_id, verdict.reason)
                connection.end(_why_cut(verdict))
        return undecided

    # Connections

    def welcome(self, connection: Connection) -> bool:
        """Count a new socket; False when there are too many."""
        self._sockets.add(connection)
        return len(self._sockets) <= self.limits.connections and not self._stopping

    def gone(self, connection: Connection) -> None:
        """Forget a closed socket."""
        self._sockets.discard(connection)

    def attach(self, connection: Connection, *, clean: bool) -> bool:
        """Give an admitted connection its session, replacing an older connection; False when there is no room."""
        client_id, identity = connection.client_id, connection.identity
        if identity is None:
            raise RuntimeError("connection was not admitted")
        older = self._clients.get(client_id)
        if older is not None:
            self._suspect(older, connection)
            older.end(Reason.REPLACED)
        session = self.sessions.get(client_id)
        if session is not None and (clean or session.clean or session.identity != identity):
            self._forget(session, prepare=False)
            session = None
        if session is None:
            if not self._make_room():
                return False
            session = self._create(client_id, identity, clean=clean)
        connection.session = session
        self._clients[client_id] = connection
        return True

    def _suspect(self, older: Connection, newer: Connection) -> None:
        """Look whether a device's connection that pushes out another means that its certificate is in two places."""
        one, another = older.peer, newer.peer
        if newer.identity is None or newer.identity.kind is not Kind.DEVICE or one is None or another is None:
            return
        if one.fingerprint != another.fingerprint or not older.keeps_its_promise():
            return  # a renewed certificate, or a link that was lost before
        if one.fingerprint.startswith(authorization.PASSWORD):
            return  # a password may be in two places; of certificates alone it is told
        shared = self._takeovers.note(one.fingerprint, older.address, newer.address, self.loop.time())
        if shared is not None:
            logger.warning("one certificate in two places: %s from %s", newer.client_id, ", ".join(shared.addresses))
            if self.tell_shared is not None:
                task = self.loop.create_task(self._tell(self.tell_shared, shared))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)

    async def _tell(self, tell: TellShared, shared: Shared) -> None:
        try:
            await tell(shared)
        except Exception as error:
            logger.error("that certificate %s is in two places could not be noted: %r", shared.fingerprint, error)

    def opened(self, connection: Connection) -> None:
        """Greet an attached connection, send what waited for it and announce it."""
        session = connection.session
        if session is None:
            raise RuntimeError("connection has no session")
        present = session.met
        connection.send(packets.connack(packets.ACCEPTED, present=present))
        session.attach(connection)
        session.pump()
        logger.info("connected: %s from %s (%s)", connection.client_id, connection.address or "its socket", connection.protocol)
        details = {"address": connection.address, "protocol": connection.protocol, "tls": connection.tls_version}
        self._announce(connection, "connected", details)

    def detach(self, connection: Connection, reason: Reason) -> None:
        """Take an ended connection from its session; publish its will unless it said goodbye; announce it."""
        session, client_id = connection.session, connection.client_id
        if session is None or self._clients.get(client_id) is not connection:
            return
        del self._clients[client_id]
        session.detach()
        if session.clean:
            self._forget(session)
        elif client_id not in self._standing:
            session.expires = self.loop.time() + self.limits.session_expiry_seconds
        if self._stopping:
            return
        will = connection.will
        if will is not None and reason is not Reason.GOODBYE:
            self.route(Message(will.topic.encode(), will.payload, min(will.qos, 1), client_id))
        logger.info("disconnected: %s (%s)", client_id, reason)
        self._announce(connection, "disconnected", {"reason": str(reason)})

    def flush_later(self, connection: Connection) -> None:
        """Have `connection` written at the end of this turn of the event loop, together with all others."""
        if not self._unwritten:
            self.loop.call_soon(self._flush)
        self._unwritten.append(connection)

    def _flush(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        for connection in unwritten:
            connection.flush()

    def _announce(self, connection: Connection, event: str, details: dict[str, str]) -> None:
        """Publish a device's presence, retained; the portal's own services have none.

        `epoch` is this broker's life, `sequence` counts its announcements: within an epoch the higher one is the later.
        """
        if connection.identity is None or connection.identity.kind is not Kind.DEVICE:
            return
        topic = PRESENCE_TOPIC + connection.client_id
        self._announced += 1
        order = {"epoch": self._epoch, "sequence": self._announced}
        payload = json.dumps({"event": event, "at": time.time(), **order, **details}).encode()
        self._retained.pop(topic, None)
        if len(self._retained) >= self.limits.retained:
            del self._retained[next(iter(self._retained))]
        self._retained[topic] = Message(topic.encode(), payload, 1, retain=True)
        self.route(Message(topic.encode(), payload, 1))

    def tell_refusal(self, device: str, reason: str, address: str) -> None:
        """Publish that a device was not let in, for its owner to read; at most once in a while for each."""
        now = self.loop.time()
        if now < self._refusal_told.get(device, 0.0):
            return
        if len(self._refusal_told) >= _KNOWN_REFUSED:
            self._refusal_told.clear()
        self._refusal_told[device] = now + self.limits.refusal_seconds
        payload = json.dumps({"at": time.time(), "reason": reason, "address": address}).encode()
        self.route(Message((REFUSAL_TOPIC + device).encode(), payload, 1))

    # Sessions

    def _create(self, client_id: str, identity: Identity, *, clean: bool) -> Session:
        budget = self._device_queues if identity.kind is Kind.DEVICE else None
        session = Session(client_id, identity, self._bounds(client_id, identity), clean=clean, budget=budget)
        session.release = self._release
        self.sessions[client_id] = session
        return session

    def _bounds(self, client_id: str, identity: Identity) -> Bounds:
        limits = self.limits
        if identity.kind is Kind.DEVICE:
            return Bounds(
                limits.device_window,
                limits.device_window_bytes,
                limits.device_queue,
                limits.device_queue_bytes,
                max_age=limits.device_message_seconds,
            )
        window, window_bytes = limits.service_window, limits.service_window_bytes
        # Only the one bridge with the plain name may hold publishers back: a forgotten second one must not.
        if identity.kind is Kind.BRIDGE and client_id == identity.name:
            return Bounds(
                window,
                window_bytes,
                limits.lossless_queue,
                limits.lossless_queue_bytes,
                lossless=True,
                share=limits.publisher_share,
                share_bytes=limits.publisher_share_bytes,
            )
        return Bounds(
            window,
            window_bytes,
            limits.service_queue,
            limits.service_queue_bytes,
            share=limits.service_share,
            share_bytes=limits.service_share_bytes,
        )

    def _prepare(self, client_id: str) -> None:
        """Create a standing session, which waits for its client."""
        identity = authorization.identify(client_id, client_id)
        if isinstance(identity, Refusal):
            raise ValueError(f"{client_id}: {identity.reason}")
        session = self._create(client_id, identity, clean=False)
        session.prepared = True
        for topic_filter in self._standing[client_id]:
            self.subscribe(session, topic_filter, 1)

    def _forget(self, session: Session, *, prepare: bool = True) -> None:
        """Remove a session with all that waits in it; a standing one begins anew unless `prepare` is False."""
        for topic_filter in session.subscriptions:
            self._tree.remove(topic_filter, session)
        self._routes.clear()
        session.close()
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
            if prepare and session.client_id in self._standing:
                self._prepare(session.client_id)

    def _make_room(self) -> bool:
        """Make sure one more session fits, at the cost of the one that has been without a client for longest."""
        if len(self.sessions) < self.limits.sessions:
            return True
        idle = [session for session in self.sessions.values() if session.expires is not None]
        if not idle:
            logger.error("no room for another session: %d clients are connected", len(self._clients))
            return False
        self._forget(min(idle, key=lambda session: session.expires or 0.0))
        return True

    def _sweep(self) -> None:
        """Forget what is over: sessions, what waited too long for its device, certificates; and do so again."""
        now = self.loop.time()
        for session in [found for found in self.sessions.values() if not found.connected]:
            session.forget_old()
            if session.expires is not None and session.expires <= now:
                logger.info("session expired: %s (%d messages)", session.client_id, len(session.queue))
                self._forget(session)
        if self._ending is None or self._ending.done():
            self._ending = self.loop.create_task(self._cut_ended())
        self._sweeper = self.loop.call_later(self.limits.sweep_seconds, self._sweep)

    async def _cut_ended(self) -> None:
        """Cut those whose certificate has ended, unless admission still lets them in; by the wall clock, as certificates are.

        Also while nobody can be asked: what has ended is let in by a word of its owner alone.
        """
        now = time.time()
        ended = [one for one in self._clients.values() if one.peer is not None and one.peer.ends <= now]
        for connection, admitted in zip(ended, await asyncio.gather(*map(self._still_admitted, ended)), strict=True):
            if not admitted:
                logger.warning("cut: the certificate of %s has ended", connection.client_id)
                connection.end(Reason.EXPIRED)

    async def _still_admitted(self, connection: Connection) -> bool:
        peer = connection.peer
        if peer is None:
            return False
        try:
            async with asyncio.timeout(self.limits.admit_seconds):
                verdict = await self.admit(peer.common_name, peer.fingerprint, connection.client_id)
        except Exception as error:
            logger.error("whether %s is still let in could not be decided: %r", connection.client_id, error)
            return False
        return not isinstance(verdict, Refusal)

    def _release(self, client_id: str) -> None:
        connection = self._clients.get(client_id)
        if connection is not None:
            connection.release()

    # Messages

    def subscribe(self, session: Session, topic_filter: str, qos: int) -> bool:
        """Add an allowed subscription; False when the session has too many."""
        known = session.subscriptions
        if topic_filter not in known and len(known) >= self.limits.subscriptions + self._extra(session):
            return False
        if known.get(topic_filter) != qos:
            known[topic_filter] = qos
            self._tree.add(topic_filter, session, qos)
            self._routes.clear()
        return True

    def _extra(self, session: Session) -> int:
        # A gateway listens to one filter a device.
        return self.limits.sessions if session.identity.kind is not Kind.DEVICE else 0

    def unsubscribe(self, session: Session, topic_filter: str) -> None:
        """Remove a subscription; an unknown one is ignored."""
        if session.subscriptions.pop(topic_filter, None) is not None:
            self._tree.remove(topic_filter, session)
            self._routes.clear()

    def send_retained(self, session: Session, topic_filter: str, qos: int) -> None:
        """Send the retained messages that a new subscription covers; only the broker itself leaves any."""
        if not topic_filter.startswith("$"):
            return
        for topic, message in self._retained.items():
            if matches(topic_filter, topic) and self.may(session.identity, Action.RECEIVE, topic):
                session.offer(message, qos)

    def route(self, message: Message) -> bool:
        """Hand a message to its subscribers; True when its publisher should not be read from for now."""
        targets = self._routes.get(message.topic)
        if targets is None:
            targets = self._find(message.topic)
        hold = False
        for session, qos in targets:
            if session.offer(message, qos if message.qos else 0):
                hold = True
        return hold

    def _find(self, raw: bytes) -> list[tuple[Session, int]]:
        topic = raw.decode()
        found = self._tree.match(topic).items()
        targets = [(session, qos) for session, qos in found if self.may(session.identity, Action.RECEIVE, topic)]
        if len(self._routes) >= _KNOWN_ROUTES:
            self._routes.clear()
        self._routes[raw] = targets
        return targets


def _why_cut(refusal: Refusal) -> Reason:
    """Say a refusal of somebody who is connected as presence events say it."""
    return Reason(refusal.cause) if refusal.cause in set(Reason) else Reason.REFUSED
