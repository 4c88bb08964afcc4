"""RabbitMQ from the system's packages, as a private instance: own node name, folders, ports, cookie and name server.

No wheel has an Erlang runtime, so unlike PostgreSQL and Valkey this server must be installed (Debian: `rabbitmq-server`). Nothing
of an instance that the system runs is touched or read.
"""

import contextlib
import http.client
import secrets
import shutil
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from iotportal.embedded.children import Child
from iotportal.embedded.errors import StartError
from iotportal.embedded.state import State, write_private

_SCRIPTS = ("/usr/lib/rabbitmq/bin", "/usr/local/lib/rabbitmq/bin", "/opt/rabbitmq/sbin")
_LOCAL = "127.0.0.1"
HINT = "On Debian and Ubuntu: apt install rabbitmq-server (its service need not run: systemctl disable --now rabbitmq-server)."


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one instance. `names` is epmd's and `distribution` Erlang's own: both stay on 127.0.0.1."""

    amqps: int
    mqtts: int
    management: int
    metrics: int
    names: int
    distribution: int


def program() -> Path | None:
    """Return the script that starts a server, or None where RabbitMQ is not installed.

    The wrapper in the system's PATH is not it: that one becomes the user `rabbitmq` and uses the system's folders.
    """
    for folder in _SCRIPTS:
        script = Path(folder, "rabbitmq-server")
        if script.is_file():
            return script
    return None


def folder(state: State) -> Path:
    """Return where an instance keeps configuration and data."""
    return state.root / "rabbitmq"


def children(state: State, ports: Ports) -> tuple[Child, Child]:
    """Return Erlang's name server and RabbitMQ as child processes; `broker_config` has written the configuration.

    The name server is a child of its own because Erlang would leave one behind as a daemon.

    Raises:
        StartError: RabbitMQ is not installed.
    """
    script, epmd = program(), shutil.which("epmd")
    if script is None or epmd is None:
        raise StartError(f"RabbitMQ is not installed here. {HINT}")
    home = folder(state)
    for name in (home, home / "data", home / "log"):
        name.mkdir(mode=0o700, exist_ok=True)
    cookie = home / ".erlang.cookie"
    if not cookie.exists():
        write_private(cookie, secrets.token_hex(20))
        cookie.chmod(0o400)
    env = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_PORT": str(ports.names),
        "ERL_EPMD_ADDRESS": _LOCAL,
        "ERL_CRASH_DUMP_SECONDS": "0",  # a dump would hold keys and passwords
    }
    server = {
        **env,
        "RABBITMQ_NODENAME": f"portal-{state.short_hash}@localhost",
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(home / "pid"),
        # The script then becomes the server in place of starting it: the kernel's promise to end it with us reaches Erlang.
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-noinput -kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
        ),
    }
    return (
        Child("epmd", (epmd, "-port", str(ports.names)), env=env),
        Child("rabbitmq", ("/bin/sh", str(script)), env=server, grace_s=15.0),
    )


def answers(port: int, user: str, password: str) -> bool:
    """Whether the server has started: definitions loaded (until then it knows no user), and listening to devices."""
    token = b64encode(f"{user}:{password}".encode()).decode()
    with contextlib.closing(http.client.HTTPConnection(_LOCAL, port, timeout=5)) as link:
        try:
            link.request("GET", "/api/health/checks/protocol-listener/amqp%2Fssl", headers={"Authorization": f"Basic {token}"})
            return link.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
