"""A connection to an MQTT broker as the portal's own processes make it: from CONNECT to its end, packet by packet.

What gateway and bridge have in common. A general client reads each packet in several calls from the socket and answers it by
itself; that was half of what a command cost a web process, and of what a message cost the bridge's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from messaging.broker import packets

logger = logging.getLogger(__name__)

ConnectionT = TypeVar("ConnectionT", bound="BrokerConnection")


def service_context(pki: Path, service: str) -> ssl.SSLContext:
    """Return the TLS settings of one of the portal's services. Raises OSError for missing files."""
    context = ssl.create_default_context(cafile=str(pki / "root-ca.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki / f"{service}.pem", pki / f"{service}.key")
    return context


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and as which of the portal's services to come: "gateway" or "bridge".

    By the service's own socket, where `sockets` says that a broker on this machine has them, else over TLS with its certificate.
    """

    host: str
    port: int
    pki: Path
    service: str
    sockets: Path | None = None

    async def connect(self, make: Callable[[], ConnectionT]) -> ConnectionT:
        """Open a connection; who wants its session waits for that. Raises OSError, also for TLS and missing files."""
        loop = asyncio.get_running_loop()
        if self.sockets is not None:
            _, made = await loop.create_unix_connection(make, str(self.sockets / f"portal.{self.service}"))
        else:
            _, made = await loop.create_connection(make, self.host, self.port, ssl=self.context())
        return made

    def context(self) -> ssl.SSLContext:
        """Return the TLS settings. Raises OSError for missing files."""
        return service_context(self.pki, self.service)


class BrokerConnection(asyncio.Protocol, ABC):
    """One connection; its parts that differ read packets in `take` and write by `write`."""

    def __init__(self, client_id: str, keepalive_s: int, max_packet_bytes: int, *, clean: bool = True) -> None:
        loop = asyncio.get_running_loop()
        self.lost = asyncio.Event()
        # Whether the broker still had the session, once it has let us in. Fails with ConnectionError.
        self.session: asyncio.Future[bool] = loop.create_future()
        self.transport: asyncio.Transport | None = None
        self._connect = packets.connect(client_id, keepalive_s, clean=clean)
        self._ping_s, self._max_packet_bytes = keepalive_s / 2, max_packet_bytes
        self._buffer = b""
        self._heard = True  # something came since the last ping

    @abstractmethod
    def take(self, first: int, body: bytes) -> None:
        """Take a packet other than CONNACK: the first byte of its header, and its body. May raise ProtocolError or IndexError."""

    def write(self, packet: bytes) -> None:
        """Send a packet, if there is still a connection."""
        if self.transport is not None:
            self.transport.write(packet)

    def close(self) -> None:
        """End the connection, after what was written."""
        if self.transport is not None:
            self.transport.close()

    async def last(self) -> None:
        """Ping until the connection has ended, or the broker is silent."""
        while not self.lost.is_set():
            self._heard = False
            self.write(packets.PING)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._ping_s):
                    await self.lost.wait()
            if not self._heard:
                break

    # --- asyncio's side ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are. asyncio and uvloop have set TCP_NODELAY; without it a round trip takes 44 ms."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._connect)

    def data_received(self, data: bytes) -> None:
        """Take all packets that are there."""
        self._heard = True
        data = self._buffer + data if self._buffer else data
        at = 0
        try:
            while (found := packets.frame(data, at, self._max_packet_bytes)) is not None:
                start, end = found
                if data[at] >> 4 == packets.CONNACK:
                    self._let_in(data[start:end])
                else:
                    self.take(data[at], data[start:end])
                at = end
        except (packets.ProtocolError, IndexError) as error:
            logger.error("the broker broke the protocol: %s", error)
            self.close()
        self._buffer = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.transport = None
        self.lost.set()
        if not self.session.done():
            self.session.set_exception(ConnectionResetError("the broker closed the connection"))
            self.session.exception()  # perhaps nobody waits

    def _let_in(self, body: bytes) -> None:
        """Read a CONNACK (3.2)."""
        present, code = body[0] & 1, body[1]
        if self.session.done():
            return
        if code == packets.ACCEPTED:
            self.session.set_result(bool(present))
        else:
            self.session.set_exception(ConnectionRefusedError(f"the broker refuses the connection (code {code})"))
