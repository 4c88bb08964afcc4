"""The broker with the portal's own registry behind it: real sockets, real certificates, the real admission. For tests alone."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from devices.downloads import device_files
from devices.models import Device
from messaging import cache
from messaging.broker.limits import Limits
from messaging.broker.server import PasswordDoor
from messaging.broker.tls import password_context
from messaging.broker.valkey import DISCONNECT_CHANNEL, ValkeyLink
from messaging.services.admission_threads import AdmissionThreads
from messaging.services.broker_access import password_proof
from messaging.tests.broker.wire import RunningBroker, Wire


@dataclass(frozen=True)
class PortalAuthority:
    """The portal's own files, under the names by which tests of the broker know an authority's."""

    folder: Path

    @property
    def root(self) -> Path:
        """The root."""
        return self.folder / "root-ca.pem"

    @property
    def issuing(self) -> Path:
        """What clients are checked against."""
        return self.folder / "clients-ca.pem"

    def issue(self, name: str, *, server: bool = False) -> tuple[Path, Path]:
        """Return the broker's certificate and key, or those of a service ("portal.bridge")."""
        stem = "server" if server else name.removeprefix("portal.")
        return self.folder / f"{stem}.pem", self.folder / f"{stem}.key"

    def context(self, name: str | None) -> ssl.SSLContext:
        """Return a client's TLS context with the certificate of a service, or without any."""
        return client_context(self.folder, None if name is None else b"".join(path.read_bytes() for path in self.issue(name)))


def client_context(pki: Path, pem: bytes | None) -> ssl.SSLContext:
    """Return a client's TLS context; `pem`: its certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki / "root-ca.pem")
    if pem is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def files_of(device: Device) -> bytes:
    """Return what the device has on its board now: its active certificate and the key."""
    files = device_files(device)
    return files.certificate + (files.private_key or b"")


class IdentityBroker(RunningBroker):
    """A broker that asks the registry, in threads of its own."""

    def __init__(self, pki: Path, threads: AdmissionThreads, **options: Any) -> None:
        self.pki = pki
        server = PortalAuthority(pki).issue("server", server=True)
        door = PasswordDoor(password_context(*server), password_proof)
        super().__init__(PortalAuthority(pki), admit=threads.admit, tell_shared=threads.tell_shared, passwords=door, **options)
        self._link = asyncio.run_coroutine_threadsafe(ValkeyLink(self.broker, settings.VALKEY_URL).run(), self.loop)

    def password_board(self, address: str = "127.0.0.1") -> Wire:
        """Return a client at the port for those who have no certificate; from a loopback address."""
        port = self.broker.password_port
        assert port is not None
        return self._keep(Wire.open(port, client_context(self.pki, None), address))

    def hears_orders(self) -> bool:
        """Say whether the broker listens to orders to cut a connection."""
        return cache.client().pubsub_numsub(DISCONNECT_CHANNEL)[0][1] > 0

    def close(self) -> None:
        """Stop the line to Valkey, then the rest."""
        self._link.cancel()
        super().close()

    def board(self, pem: bytes, address: str = "127.0.0.1") -> Wire:
        """Return a client with a certificate and its key that has finished its side of the handshake; from a loopback address."""
        return self._keep(Wire.open(self.port, client_context(self.pki, pem), address))


@contextmanager
def identity_broker(pki: Path, **limits: Any) -> Iterator[IdentityBroker]:
    """Run such a broker for the length of a block."""
    with AdmissionThreads(2, 2) as threads:
        running = IdentityBroker(pki, threads, limits=Limits(**limits))
        try:
            yield running
        finally:
            running.close()
