"""One client's TCP connection: reads MQTT packets, answers them, and ends for exactly one reason."""

import asyncio
import logging
import math
import socket
import ssl
from enum import Enum, IntFlag, StrEnum, auto
from typing import TYPE_CHECKING, cast

from messaging.authorization import PASSWORD, Action, Identity, Refusal, identify, is_device_id
from messaging.broker import packets
from messaging.broker.packets import Connect, Message, ProtocolError, Will
from messaging.broker.session import Session
from messaging.broker.tls import Channel, Peer, PlainChannel

if TYPE_CHECKING:
    from messaging.broker.server import Broker, PasswordDoor

logger = logging.getLogger(__name__)

# Topics a connection has published to and may: looked up by their bytes, without decoding them again.
_KNOWN_TOPICS = 1_024
MAX_PASSWORD = 128  # bytes; ours have 43
_NOBODY = "password"  # whose refusals are counted where no name was proven


class Reason(StrEnum):
    """Why a connection ended, as presence events say it."""

    GOODBYE = "goodbye"  # it sent DISCONNECT
    LOST = "lost"  # the network or TLS broke, or it left without a word
    PROTOCOL = "protocol"  # it sent what MQTT or our limits do not allow
    STALLED = "stalled"  # it did not read what was sent to it
    KEEPALIVE = "keepalive"  # it was silent for longer than it had promised
    REPLACED = "replaced"  # the same device id connected anew
    REVOKED = "revoked"  # cut: its certificate was revoked
    EXPIRED = "expired"  # cut: its certificate's time is over
    DELETED = "deleted"  # cut: the device was deleted
    OPERATOR = "operator"  # cut by a person who runs the portal
    REFUSED = "refused"  # cut: it would not be let in any more, for another reason
    KICKED = "kicked"  # cut, nobody said why


class _State(Enum):
    HANDSHAKE = auto()
    WAITING = auto()
    ADMITTING = auto()
    OPEN = auto()
    CLOSED = auto()


class _Pause(IntFlag):
    """Why a connection is not read from at the moment."""

    ADMISSION = auto()
    TURN = auto()
    UNREAD = auto()
    HELD = auto()


class Connection(asyncio.Protocol):
    """Protocol of one accepted TCP connection; all methods run in the broker's event loop."""

    def __init__(self, broker: "Broker", channel: Channel | PlainChannel, door: "PasswordDoor | None" = None) -> None:
        self.writable = True
        self.client_id = ""
        self.session: Session | None = None
        self.identity: Identity | None = None
        self.peer: Peer | None = None
        self.will: Will | None = None
        self.address = ""
        self.tls_version = ""
        self.protocol = ""
        self._broker = broker
        self._limits = broker.limits
        self._state = _State.HANDSHAKE
        self._door = door  # where it came in, if it may come with a password
        self._channel = channel
        self._strict_flags = True
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._paused = _Pause(0)
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._blocked = False
        self._allowed: set[bytes] = set()
        self._refused = 0
        self._heard = 0.0
        self._patience = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._admission: asyncio.Task[None] | None = None

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over an accepted socket."""
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.address = str(name[0]) if name else ""
        if not self._broker.welcome(self):
            self._fail("too many connections")
            return
        self._tune(transport.get_extra_info("socket"))
        self._wait(self._limits.handshake_seconds, "no TLS handshake in time")

    def _wait(self, seconds: float, complaint: str) -> None:
        self._stop_timer()
        self._timer = self._broker.loop.call_later(seconds, self._fail, complaint)

    @staticmethod
    def _tune(sock: socket.socket | None) -> None:
        if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        # Without NODELAY every second small packet waits 40 ms for the peer's delayed ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Finds dead peers that switched MQTT's own keepalive off.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        """Decrypt and read what has come, packet by packet."""
        if self._state is _State.CLOSED:
            return
        try:
            plain = self._channel.receive(data)
        except ssl.SSLError as error:
            self._send_pending()
            self._fail(f"TLS: {error.reason}", abort=False)
            return
        self._send_pending()
        if self._state is _State.HANDSHAKE and not (self._channel.established and self._greet()):
            return
        if plain:
            self._heard = self._broker.loop.time()
            self._buffer = self._buffer + plain if self._buffer else plain
            if not self._paused:
                self._read()
                self._stop_or_go()
        if self._channel.ended:
            self.end(Reason.LOST)

    def _greet(self) -> bool:
        """Look at the certificate after the handshake; False when one is needed and it is of no use."""
        self.peer = self._channel.peer() if self._door is None else None
        self.tls_version = self._channel.version
        if self.peer is None and self._door is None:
            self._fail("no usable certificate")
            return False
        self._state = _State.WAITING
        self._wait(self._limits.connect_seconds, "no CONNECT in time")
        return True

    def _send_pending(self) -> None:
        ciphertext = self._channel.pending()
        if ciphertext and self._transport is not None:
            self._transport.write(ciphertext)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection when the socket is gone, whoever closed it."""
        self.end(Reason.LOST)
        self._broker.gone(self)

    def pause_writing(self) -> None:
        """Stop sending, and stop reading too: a peer that does not read our answers may not ask for more."""
        self._blocked = True
        self.writable = False
        self._pause(_Pause.UNREAD)
        self._stall = self._broker.loop.call_later(self._limits.write_stall_seconds, self._stalled)

    def _stalled(self) -> None:
        self._fail("does not read", reason=Reason.STALLED)

    def resume_writing(self) -> None:
        """Go on after `pause_writing`."""
        self._blocked = False
        self.writable = self._out_bytes < self._limits.write_bytes
        if self._stall is not None:
            self._stall.cancel()
        self._resume(_Pause.UNREAD)
        if self.session is not None and self.writable:
            self.session.pump()

    def send(self, packet: bytes) -> None:
        """Add one packet to the write that ends this turn of the event loop."""
        if not self._out:
            self._broker.flush_later(self)
        self._out.append(packet)
        self._out_bytes += len(packet)
        if self._out_bytes >= self._limits.write_bytes:
            self.writable = False

    def flush(self) -> None:
        """Write what has gathered: one TLS record and one system call for a whole burst."""
        if self._state is _State.CLOSED:
            return
        self._write_out()
        self.writable = not self._blocked
        if self.session is not None and self.writable:
            self.session.pump()

    def _write_out(self) -> None:
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._out_bytes = 0
            self._channel.send(data)
            self._send_pending()

    def _pause(self, why: _Pause) -> None:
        self._paused |= why
        self._stop_or_go()

    def _resume(self, why: _Pause) -> None:
        """Take one reason away; what is in the buffer has its turn before anything more is read from the socket."""
        if not self._paused & why or self._state is _State.CLOSED:
            return
        self._paused &= ~why
        if not self._paused:
            self._heard = self._broker.loop.time()
            self._paused = _Pause.TURN
            self._broker.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._paused &= ~_Pause.TURN
        if self._state is not _State.CLOSED and not self._paused:
            self._read()
            self._stop_or_go()

    def _stop_or_go(self) -> None:
        """Have the socket read, or not read, as `_paused` says."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.is_reading() is not bool(self._paused):
            return
        if self._paused:
            transport.pause_reading()
        else:
            transport.resume_reading()

    # Packets

    def _read(self) -> None:
        """Handle the complete packets of the buffer, as long as nothing says to stop reading."""
        data, at, left = self._buffer, 0, self._limits.burst
        limit, size = self._limits.packet_bytes, len(self._buffer)
        try:
            while at < size and not self._paused:
                if not left:
                    self._pause(_Pause.TURN)
                    self._broker.loop.call_soon(self._turn)
                    break
                left -= 1
                if self._state is _State.WAITING and data[at] != packets.CONNECT << 4:
                    raise ProtocolError("first packet is not CONNECT")
                found = packets.frame(data, at, limit)
                if found is None:
                    break
                body, end = found
                if data[at] >> 4 == packets.PUBLISH:
                    self._on_publish(data, at, body, end)
                else:
                    self._on_packet(data[at], data[body:end])
                if self._state is _State.CLOSED:
                    return
                at = end
        except ProtocolError as error:
            self._fail(str(error), reason=Reason.PROTOCOL)
            return
        except Exception:
            logger.exception("a packet of %s could not be handled", self.client_id)
            self._fail("internal error")
            return
        self._buffer = data[at:]

    def _on_packet(self, first: int, body: bytes) -> None:
        """Handle any packet but PUBLISH."""
        kind = first >> 4
        if self._strict_flags or self._state is _State.WAITING:
            packets.check_flags(kind, first & 0x0F)
        if self._state is _State.WAITING:
            self._on_connect(body)
            return
        if self.session is None:
            raise ProtocolError("packet before the session")
        self._on_session_packet(self.session, kind, body)

    def _on_session_packet(self, session: Session, kind: int, body: bytes) -> None:
        if kind == packets.PUBACK:
            session.acknowledge(packets.parse_packet_id(body))
        elif kind == packets.PINGREQ:
            self.send(packets.PINGRESP)
        elif kind == packets.SUBSCRIBE:
            self._on_subscribe(session, body)
        elif kind == packets.UNSUBSCRIBE:
            packet_id, filters = packets.parse_unsubscribe(body)
            for topic_filter in filters:
                self._broker.unsubscribe(session, topic_filter)
            self.send(packets.acknowledgement(packets.UNSUBACK, packet_id))
        elif kind == packets.PUBREL:
            packet_id = packets.parse_packet_id(body)
            session.unreleased.discard(packet_id)
            self.send(packets.acknowledgement(packets.PUBCOMP, packet_id))
        elif kind == packets.DISCONNECT:
            self.end(Reason.GOODBYE, abort=False)
        else:
            raise ProtocolError("packet a client may not send")

    def _on_publish(self, data: bytes, at: int, body: int, end: int) -> None:
        """Route one PUBLISH and acknowledge it; one that is not allowed is acknowledged too, and dropped."""
        session = self.session
        if session is None:
            raise ProtocolError("packet before the session")
        qos = data[at] >> 1 & 3
        start = body + 2
        topic_end = start + int.from_bytes(data[body:start], "big")
        payload = topic_end + 2 if qos else topic_end
        if payload > end or qos == 3:
            raise ProtocolError("malformed publish")
        packet_id = int.from_bytes(data[topic_end:payload], "big")
        if qos and not packet_id:
            raise ProtocolError("packet id 0")
        topic = data[start:topic_end]
        again = qos == 2 and packet_id in session.unreleased
        if (topic in self._allowed or self._may_publish(topic)) and not again:
            message = Message(topic, data[payload:end], 1 if qos else 0, self.client_id)
            if self._broker.route(message):
                self._pause(_Pause.HELD)
        if qos == 1:
            self.send(b"\x40\x02" + data[topic_end:payload])
        elif qos == 2:
            if len(session.unreleased) >= self._limits.unreleased and not again:
                raise ProtocolError("too many unreleased QoS 2 messages")
            session.unreleased.add(packet_id)
            self.send(packets.acknowledgement(packets.PUBREC, packet_id))

    def _may_publish(self, raw: bytes) -> bool:
        topic = packets.text(raw)
        if not topic:
            raise ProtocolError("empty topic")
        if self.identity is not None and self._broker.may(self.identity, Action.PUBLISH, topic):
            if len(self._allowed) >= _KNOWN_TOPICS:
                self._allowed.clear()
            self._allowed.add(raw)
            return True
        self._refuse("publish", topic)
        return False

    def _on_subscribe(self, session: Session, body: bytes) -> None:
        packet_id, asked = packets.parse_subscribe(body)
        session.met = True
        codes = []
        for topic_filter, qos in asked:
            granted = min(qos, 1)
            if not self._broker.may(session.identity, Action.SUBSCRIBE, topic_filter):
                self._refuse("subscribe", topic_filter)
                codes.append(packets.REFUSED_SUBSCRIPTION)
            elif not self._broker.subscribe(session, topic_filter, granted):
                codes.append(packets.REFUSED_SUBSCRIPTION)
            else:
                codes.append(granted)
        self.send(packets.suback(packet_id, codes))
        for (topic_filter, _), code in zip(asked, codes, strict=True):
            if code != packets.REFUSED_SUBSCRIPTION:
                self._broker.send_retained(session, topic_filter, code)

    def _refuse(self, action: str, topic: str) -> None:
        """Count a refusal; log the 1st, 2nd, 4th, 8th... of a connection, so that a flood cannot fill the disk."""
        name = self.identity.name if self.identity else ""
        self._broker.refusals[name] += 1
        self._refused += 1
        if self._refused & (self._refused - 1) == 0:
            logger.warning("refused: %s to %s %.80r (%d on this connection)", name, action, topic, self._refused)

    # Beginning

    def _on_connect(self, body: bytes) -> None:
        """Check that the certificate (or the name given with a password) owns the client id, then ask whether it may come in.

        Nothing of the client id's session is looked at before both are answered.
        """
        try:
            connect = packets.parse_connect(body)
        except packets.UnacceptableProtocolError:
            self._turn_away(packets.UNACCEPTABLE_PROTOCOL, "protocol version")
            return
        peer = self.peer = self.peer or self._by_password(connect)
        if peer is None:
            self._turn_away(packets.BAD_CREDENTIALS, "no device's name and password")
            return
        claimed = identify(peer.common_name, connect.client_id)
        if isinstance(claimed, Refusal):
            self._turn_away(packets.IDENTIFIER_REJECTED, claimed.reason)
            return
        if connect.will is not None and not self._broker.may(claimed, Action.PUBLISH, connect.will.topic):
            self._turn_away(packets.NOT_AUTHORISED, "last will on a foreign topic")
            return
        if self._door is not None and not self._broker.doorway.enter(self.address):
            self._turn_away(packets.SERVER_UNAVAILABLE, None)
            return
        self.client_id = connect.client_id
        self._state = _State.ADMITTING
        self._pause(_Pause.ADMISSION)
        self._stop_timer()
        self._admission = self._broker.loop.create_task(self._admit(peer, connect, claimed))
        self._admission.add_done_callback(self._after_admission)

    def _by_password(self, connect: Connect) -> Peer | None:
        """Return who a client without a certificate says it is, and what stands for its password; None if that is nobody."""
        user_name = packets.text(connect.user_name)
        if self._door is None or not is_device_id(user_name) or not 0 < len(connect.password) <= MAX_PASSWORD:
            return None
        return Peer(user_name, self._door.proof(user_name, connect.password), math.inf)

    def _after_admission(self, task: asyncio.Task[None]) -> None:
        self._admission = None
        if self._door is not None:
            self._broker.doorway.leave(self.address)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("%s could not be let in", self.client_id, exc_info=error)
            self._fail("internal error")

    async def _admit(self, peer: Peer, connect: Connect, claimed: Identity) -> None:
        try:
            async with asyncio.timeout(self._limits.admit_seconds):
                verdict = await self._broker.admit(peer.common_name, peer.fingerprint, connect.client_id)
        except Exception as error:
            # In one line, for when the database is away all devices come at once.
            logger.error("admission of %s could not be decided: %r", peer.common_name, error)
            self._turn_away(packets.SERVER_UNAVAILABLE, None)
            return
        if self._state is not _State.ADMITTING:
            return
        if isinstance(verdict, Refusal):
            self._turn_away(packets.NOT_AUTHORISED, verdict.reason)
        elif verdict != claimed:
            self._turn_away(packets.NOT_AUTHORISED, "admitted as somebody else")
        else:
            self._open(connect, verdict)

    def _open(self, connect: Connect, identity: Identity) -> None:
        self.identity = identity
        self.will = connect.will
        self.protocol = connect.protocol
        self._strict_flags = connect.level >= 4
        if not self._broker.attach(self, clean=connect.clean):
            self._turn_away(packets.SERVER_UNAVAILABLE, None)
            return
        self._state = _State.OPEN
        if connect.keepalive:
            self._patience = connect.keepalive * self._limits.keepalive_factor
            self._timer = self._broker.loop.call_later(self._patience, self._check_keepalive)
        self._broker.opened(self)
        self._resume(_Pause.ADMISSION)

    def _check_keepalive(self) -> None:
        """End a silent connection; one that we do not read from cannot be blamed for its silence."""
        loop = self._broker.loop
        left = self._heard + self._patience - loop.time()
        if left <= 0 and not self._paused:
            self.end(Reason.KEEPALIVE)
            return
        self._timer = loop.call_later(left if left > 0 else self._patience, self._check_keepalive)

    # End

    def _turn_away(self, code: int, reason: str | None) -> None:
        """Answer a CONNECT with a refusal and close; `reason` None means that it is the broker's fault."""
        if self._state is _State.CLOSED or self._transport is None:
            return
        if reason is not None:
            name = self.peer.common_name if self.peer else ""
            proven = self.peer is not None and not self.peer.fingerprint.startswith(PASSWORD)
            # Whoever comes with a wrong password has proven no name: he fills nobody's timeline, no table of names, and no log.
            counted = name if proven else _NOBODY
            self._broker.refusals[counted] += 1
            self._broker.unproven += not proven
            if proven or self._broker.unproven & (self._broker.unproven - 1) == 0:
                logger.warning("refused: connection of %s from %s: %s", name, self.address, reason)
            if proven and is_device_id(name):
                self._broker.tell_refusal(name, reason, self.address)
        self._out.append(packets.connack(code))
        self._shut(abort=False)

    def _fail(self, why: str, *, reason: Reason = Reason.LOST, abort: bool = True) -> None:
        """Close because of what the peer did, or did not do; `abort` False lets what is written go out first."""
        if self._state is not _State.CLOSED:
            logger.info("closing %s from %s: %s", self.client_id or "unknown client", self.address, why)
            self.end(reason, abort=abort)

    def end(self, reason: Reason, *, abort: bool = True) -> None:
        """Close the connection now and tell the broker why; later calls change nothing."""
        if self._state is _State.CLOSED:
            return
        was_open = self._state is _State.OPEN
        self._shut(abort=abort)
        if was_open:
            self._broker.detach(self, reason)

    def keeps_its_promise(self) -> bool:
        """Say whether the peer has been heard within its keepalive, so that its end of the connection may be taken for alive."""
        promised = self._patience / self._limits.keepalive_factor
        return not promised or self._broker.loop.time() - self._heard <= promised

    def release(self) -> None:
        """Read on after the broker held this publisher back."""
        self._resume(_Pause.HELD)

    def _shut(self, *, abort: bool) -> None:
        transport = self._transport
        if transport is not None and abort:
            transport.abort()
        elif transport is not None:
            if self._channel.established:
                self._write_out()
                self._channel.close()
            self._send_pending()
            transport.close()
            # What is still to be written must not keep the socket of a peer that does not read.
            self._broker.loop.call_later(self._limits.shutdown_seconds, transport.abort)
        self._state = _State.CLOSED
        self._buffer = b""
        self._out.clear()
        self._stop_timer()
        if self._stall is not None:
            self._stall.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
