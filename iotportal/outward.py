"""HTTP to addresses that people gave us: to the public Internet alone, and within bounds.

A name is resolved once, every address that it has is checked, and the connection goes to one of those very addresses, with the
name in `Host` and in TLS: there is no second look-up for which somebody's name server could have another answer ready (DNS
rebinding). Redirects are not followed, proxies and `.netrc` of the machine are not used, an answer is read up to `MAX_BYTES`,
and all of it together ends after `TOTAL_S`, however slowly the other side drips.

`settings.OUTWARD_ORIGINS` are origins (`http://127.0.0.1:8025`) that an operator vouches for: they may be plain HTTP, and inside.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

URL_CHARACTERS = 2000
MAX_BYTES = 16 * 1024  # of an answer
CONNECT_S, READ_S, TOTAL_S = 3.0, 5.0, 10.0
_TRIED = 2  # of a name's addresses
_NOT_PUBLIC = [ipaddress.IPv6Network(one) for one in ("2002::/16", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48")]  # IPv4 inside
_IPV6_PUBLIC = ipaddress.IPv6Network("2000::/3")


class NotAllowed(ValueError):
    """An address that nothing is sent to. The text says why, for people."""


def check_url(url: str) -> str:
    """Return a URL that may be sent to, as far as its text tells; the connection checks where it leads.

    Raises:
        NotAllowed: it is none, not HTTPS, holds a password, or names an address inside.
    """
    if len(url) > URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        raise NotAllowed("That is no web address.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise NotAllowed("That is no web address.") from error
    if not host or port == 0 or "\\" in url or parts.fragment:
        raise NotAllowed("That is no web address.")
    if parts.username is not None or parts.password is not None:
        raise NotAllowed("A web address with a name or password before @ is not taken.")
    if origin_of(url) in settings.OUTWARD_ORIGINS:
        return url
    if parts.scheme != "https":
        raise NotAllowed("The address must begin with https://.")
    if _is_address(host) and not is_public(host):
        raise _Inside
    return url


class _Inside(NotAllowed):
    def __init__(self) -> None:
        super().__init__("That address is not on the public Internet.")


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, the port only where it is not the scheme's own."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    own = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in {None, own} else "")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Say whether an IP address is one that everybody can reach: not private, local, link-local (cloud metadata), multicast."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        return ip in _IPV6_PUBLIC and ip.is_global and not any(ip in one for one in _NOT_PUBLIC)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def post(url: str, body: bytes, headers: Mapping[str, str]) -> requests.Response:
    """Send once; `text` of the answer is its first `MAX_BYTES`.

    Raises:
        NotAllowed: where that leads, nothing is sent.
        requests.RequestException: it could not be reached, or did not answer in time.
    """
    check_url(url)
    with session() as one:
        return one.post(url, data=body, headers=dict(headers))


def session() -> requests.Session:
    """Return a session for libraries that take one; each of its requests is bound as this module says."""
    return _Session()


# --- how it is bound ---------------------------------------------------------------------------------------------------------


class _Bounds:
    """What ends a request in time: twins of its sockets, by which another thread can cut them off."""

    def __init__(self) -> None:
        self._twins: list[socket.socket] = []
        self.is_over = False
        self._timer = threading.Timer(TOTAL_S, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Bounds:
        self._timer.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._timer.cancel()
        for twin in self._twins:
            twin.close()

    def watch(self, sock: socket.socket) -> None:
        """Have a socket end in time, too; TLS takes the socket itself away, so it is a twin that is kept."""
        self._twins.append(socket.fromfd(sock.fileno(), sock.family, sock.type))
        if self.is_over:  # already, when its name was found
            self._cut()

    def _cut(self) -> None:
        self.is_over = True
        for twin in self._twins:
            with contextlib.suppress(OSError):
                twin.shutdown(socket.SHUT_RDWR)


_bounds: ContextVar[_Bounds] = ContextVar("outward_bounds")


def addresses_of(host: str, port: int, *, anywhere: bool) -> list[str]:
    """Return the addresses of a host. Raises NotAllowed if one of them is inside, and socket.gaierror."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found))
    if not anywhere and not all(map(is_public, addresses)):
        raise _Inside
    return addresses


def _connect(connection: HTTPConnection, scheme: str) -> socket.socket:
    host, port = connection.host, connection.port
    anywhere = origin_of(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}") in settings.OUTWARD_ORIGINS
    failure: OSError = OSError("it has no address")
    try:
        for address in addresses_of(host, port, anywhere=anywhere)[:_TRIED]:
            try:
                sock = socket.create_connection((address, port), timeout=CONNECT_S)
            except OSError as error:
                failure = error
                continue
            _bounds.get().watch(sock)
            return sock
    except (socket.gaierror, UnicodeError) as error:  # a label that is too long is a UnicodeError
        raise NewConnectionError(connection, "its name is not known") from error
    raise NewConnectionError(connection, "no connection") from failure


class _Http(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, "http")


class _Https(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, "https")


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http

    def _get_conn(self, timeout: float | None = None) -> Any:
        return _bound(super()._get_conn(timeout))


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https

    def _get_conn(self, timeout: float | None = None) -> Any:
        return _bound(super()._get_conn(timeout))


def _bound(connection: Any) -> Any:
    """Return a connection, and have it end in time if it is one that was kept open after an earlier request."""
    if connection.sock is not None:
        _bounds.get().watch(connection.sock)
    return connection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class _Session(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["Accept-Encoding"] = "identity"  # nothing that grows when it is unpacked
        self.headers["User-Agent"] = "IoT-Portal"
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(max_retries=0))

    def get_redirect_target(self, _resp: requests.Response) -> str | None:
        """Follow none."""
        return None

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        """Send within bounds."""
        check_url(request.url or "")
        more |= {"stream": True, "allow_redirects": False, "timeout": (CONNECT_S, READ_S), "proxies": {}}
        with _Bounds() as bounds, _set(bounds):
            answer = super().send(request, **more)
            try:
                answer._content = answer.raw.read(MAX_BYTES, decode_content=False)
            except Exception as error:  # urllib3's own, which requests does not turn into its own here
                raise requests.ConnectionError("the answer broke off") from error
            finally:
                answer.close()
        if bounds.is_over:  # what was cut off within the headers looks like an answer without a body
            raise requests.ReadTimeout("it did not answer in time")
        return answer


@contextlib.contextmanager
def _set(bounds: _Bounds) -> Iterator[None]:
    token = _bounds.set(bounds)
    try:
        yield
    finally:
        _bounds.reset(token)
