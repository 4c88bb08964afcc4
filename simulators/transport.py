"""TCP and TLS to the broker without blocking the loop, and a paho client that runs on the finished socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable
from typing import Any, TypeVar

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from simulators.settings import DeviceSettings, SettingsError

_Result = TypeVar("_Result")


def make_context(settings: DeviceSettings) -> ssl.SSLContext:
    """Return the TLS context of one device: 1.2 or newer, its own certificate (none with a password), the portal's root alone.

    Raises: SettingsError when a file is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=str(settings.ca))
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"{settings.name}: {settings.ca.name} is not a PEM certificate ({error})") from error
    if settings.password:
        return context
    files = f"{settings.certificate.name} and {settings.key.name}"
    try:
        # The empty password keeps OpenSSL from asking for one at the terminal.
        context.load_cert_chain(str(settings.certificate), str(settings.key), password="")
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            raise SettingsError(f"{settings.name}: {files} do not belong together; use both of one download") from error
        raise SettingsError(f"{settings.name}: {files} are not both PEM files ({error})") from error
    except OSError as error:
        raise SettingsError(f"{settings.name}: {files} cannot be read ({error})") from error
    return context


async def open_tls(host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> ssl.SSLSocket:
    """Connect to the first address of `host` that answers and finish TLS; the socket stays non-blocking.

    Raises: OSError (with its kinds for DNS, TCP, TLS and time).
    """
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await _within(timeout_s, loop.sock_connect(sock, address))
        except OSError as error:
            sock.close()
            failure = error
            continue
        except BaseException:
            sock.close()
            raise
        # Without it a QoS 1 exchange waits 40 ms for the other side's delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return await _greet(sock, context, host, timeout_s)
    raise failure


async def _greet(sock: socket.socket, context: ssl.SSLContext, host: str, timeout_s: float) -> ssl.SSLSocket:
    tls = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        await _within(timeout_s, _handshake(tls))
    except BaseException:
        tls.close()
        raise
    return tls


async def _handshake(tls: ssl.SSLSocket) -> None:
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            await _ready(tls.fileno(), writable=False)
        except ssl.SSLWantWriteError:
            await _ready(tls.fileno(), writable=True)
        else:
            return


async def _ready(descriptor: int, *, writable: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writable else (loop.add_reader, loop.remove_reader)
    add(descriptor, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        remove(descriptor)


async def _within(timeout_s: float, work: Awaitable[_Result]) -> _Result:
    """Return the result of `work`. Raises TimeoutError (the built-in one in every Python) when it takes too long."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        if not done:
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
        # Its clean-up must be over before the caller closes the socket: the descriptor may be another's right after.
        await asyncio.wait({task})


class HandedClient(mqtt.Client):
    """A paho client whose sockets come ready made.

    paho's own connect blocks through TCP and TLS: with hundreds of devices in one loop each would wait for all
    others. So the loop connects and hands the socket over just before `reconnect()`. It also keeps the last error
    of a read, which paho only logs: with TLS 1.3 that is where the broker says why it refuses a certificate.
    """

    def __init__(self, client_id: str, protocol: MQTTProtocolVersion) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True, protocol=protocol, reconnect_on_failure=False
        )
        self.read_error: OSError | None = None
        self._handed: ssl.SSLSocket | None = None

    def hand(self, tls: ssl.SSLSocket) -> None:
        """Give the socket for the next `reconnect()`."""
        self._handed = tls
        self.read_error = None

    def _create_socket(self) -> ssl.SSLSocket:
        handed, self._handed = self._handed, None
        if handed is None:
            raise ConnectionError("no socket was handed over")
        return handed

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            data: bytes = super()._sock_recv(bufsize)
        except BlockingIOError:
            raise
        except OSError as error:
            self.read_error = error
            raise
        return data

    def pending(self) -> bool:
        """Whether TLS has bytes ready that the selector does not know of."""
        sock: Any = self.socket()
        return sock is not None and sock.pending() > 0
