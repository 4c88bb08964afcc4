"""Ports: free ones, and who holds a taken one."""

import errno
import ipaddress
import random
import socket

import psutil

from iotportal.embedded.errors import StartError

# Below what Linux (32768) and macOS (49152) give to outgoing connections: one of those could have it before its server starts.
_QUIET = range(20_000, 32_000)
_TRIES = 50
_chance = random.SystemRandom()  # a test may have seeded the common one, as its neighbour has


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nothing listens on right now, one that no outgoing connection is given where such are free."""
    for number in _chance.sample(_QUIET, _TRIES):
        if is_free(host, number):
            return number
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on `host`:`port` (an address, or a name like localhost).

    Raises:
        StartError: `host` is no address of this machine, or the port needs more rights than we have.
    """
    with socket.socket(_family(host)) as probe:
        # As servers do it: connections of a server that just ended must not look like one that runs.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            if error.errno == errno.EACCES:
                raise StartError(f"Port {port} is reserved for root. Choose one above 1023.") from error
            raise StartError(f"{host} is not an address of this machine. Try HOST=127.0.0.1 or HOST=0.0.0.0.") from error
    return True


def next_free(host: str, port: int, avoid: set[int]) -> int:
    """Return a free port near `port`, the one to suggest in its place."""
    for number in range(port + 1, min(port + 200, 65536)):
        if number not in avoid and is_free(host, number):
            return number
    return free_port()


def _family(host: str) -> socket.AddressFamily:
    try:
        return socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return socket.AF_INET


def holder(port: int) -> str:
    """Return ' (by NAME, process N)', or nothing where the system does not tell us."""
    try:
        links = psutil.net_connections(kind="tcp")
    except psutil.Error:  # macOS tells root only
        return ""
    for link in links:
        if link.status == psutil.CONN_LISTEN and link.laddr and link.laddr.port == port and link.pid:
            try:
                return f" (by {psutil.Process(link.pid).name()}, process {link.pid})"
            except psutil.Error:
                return f" (by process {link.pid})"
    return " (by another user's program)"
