"""What HOST means: where servers listen, under which names they are reached, and what to print."""

import ipaddress
import socket
from dataclasses import dataclass

import psutil

from iotportal.embedded.errors import StartError

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where to listen (`bind`), where our own processes connect (`inside`), what others are told (`public`), all `names`."""

    bind: str
    inside: str
    public: str
    names: tuple[str, ...]

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return ipaddress.ip_address(self.bind).is_loopback

    def url(self, port: int, scheme: str = "http") -> str:
        """Return the URL to print and to put into mails."""
        return f"{scheme}://{in_url(self.public)}:{port}"


def in_url(host: str) -> str:
    """Return `host` as URLs write it: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def resolve(host: str) -> Addresses:
    """Return what HOST means on this machine right now.

    Raises:
        StartError: it is neither an address nor a name that resolves to one.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _named(host)
    if address.is_unspecified:
        return _everywhere(address.version)
    return Addresses(bind=host, inside=host, public=host, names=_unique(host, *_LOOPBACK_NAMES))


def _named(host: str) -> Addresses:
    try:
        found = socket.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise StartError(f"HOST={host} is no address and no name that resolves. Try HOST=127.0.0.1 or HOST=0.0.0.0.") from error
    address = str(found[0][4][0])
    return Addresses(bind=address, inside=address, public=host, names=_unique(host, address, *_LOOPBACK_NAMES))


def _everywhere(version: int) -> Addresses:
    mine = _interface_addresses(version)
    hostname = socket.gethostname()
    names = _unique(*mine, hostname, f"{hostname.partition('.')[0]}.local", *_LOOPBACK_NAMES)
    bind, inside = ("0.0.0.0", "127.0.0.1") if version == 4 else ("::", "::1")  # noqa: S104 - asked for by HOST
    return Addresses(bind=bind, inside=inside, public=_outward(version) or next(iter(mine), inside), names=names)


def _interface_addresses(version: int) -> list[str]:
    """Return the addresses that others may reach us at; link-local ones need an interface's name and are left out."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    found = []
    for links in psutil.net_if_addrs().values():
        for link in links:
            if link.family == family:
                address = ipaddress.ip_address(link.address.partition("%")[0])
                if not address.is_loopback and not address.is_link_local:
                    found.append(str(address))
    return found


def _outward(version: int) -> str | None:
    """Return the address that traffic to the outside leaves from: on a desk, the one on the local network."""
    family, somewhere = (socket.AF_INET, "192.0.2.1") if version == 4 else (socket.AF_INET6, "2001:db8::1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somewhere, 9))  # UDP: asks the routing table, sends nothing
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _unique(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
