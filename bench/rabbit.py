"""The throw-away portal of the benches on RabbitMQ: nginx with TLS, web processes, bridges, tasks, and who RabbitMQ asks."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from bench.fleet import FleetPortal
from bench.portal import wait_until
from iotportal import processes
from iotportal.embedded import nginx, rabbitmq
from iotportal.embedded.children import Child
from iotportal.embedded.ports import free_port, is_free
from iotportal.embedded.stack import listens

if TYPE_CHECKING:
    from messaging.gateway.amqp import AmqpTransport

_LOCAL = "127.0.0.1"
_OF_A_PROXY = {"PORTAL_URL", "PORTAL_BEHIND_PROXY"}


class RabbitPortal(FleetPortal):
    """`FleetPortal` whose broker is RabbitMQ, and whose callers come through nginx."""

    def __init__(self, pool: str = "threads") -> None:
        super().__init__(pool)
        self.auth_port, self.https_port = free_port(), free_port()
        self.ports = rabbitmq.Ports(free_port(), self.mqtt_port, *(free_port() for _ in range(4)))
        self.webs: dict[str, int] = {}

    def more_settings(self) -> dict[str, str]:
        """Return what makes the portal use it."""
        return {
            "PORTAL_BROKER": "rabbitmq",
            "PORTAL_AMQP_DEVICES": "true",
            "AMQP_HOST": "localhost",
            "AMQP_PORT": str(self.ports.amqps),
            "RABBITMQ_URL": f"http://{_LOCAL}:{self.ports.management}",
            "PORTAL_BROKER_AUTH_PORT": str(self.auth_port),
            "PORTAL_URL": f"https://localhost:{self.https_port}",
            "PORTAL_BEHIND_PROXY": "true",
        }

    def start_broker(self) -> None:
        """Write RabbitMQ's configuration and start it, with who it asks."""
        where = {"management": self.ports.management, "metrics": self.ports.metrics}
        words = [word for name, port in where.items() for word in (f"--{name}", str(port))]
        self.manage("broker_config", str(rabbitmq.folder(self.state)), *words)
        names, self._server = rabbitmq.children(self.state, self.ports)
        self._start(names)
        wait_until(lambda: not is_free(_LOCAL, self.ports.names), "epmd's start")
        self.start_process("broker-auth")
        self.start_rabbitmq()

    def start_rabbitmq(self) -> None:
        """Start RabbitMQ, also over what a crash left, and wait until it takes devices and the portal."""
        self._start(self._server)
        wait_until(
            lambda: listens("localhost", self.ports.amqps) and listens("localhost", self.ports.mqtts), "RabbitMQ's start", 180
        )

    def start_process(self, name: str, *more: str, kind: str = "") -> subprocess.Popen[bytes]:
        """Start a process of the portal, as `iotportal.processes` does; returns at once."""
        kind = kind or name
        env = {**self.env, **processes.PROCESSES[kind].env}
        return self._start(Child(name, processes.command(kind, *more), env={**env, "PYTHONPATH": sys.path[0]}, grace_s=15.0))

    def start_webs(self, count: int) -> None:
        """Start web processes and nginx in front of them."""
        self.webs = {f"web-{number}": free_port() for number in range(1, count + 1)}
        for name in self.webs:
            self.start_one_web(name)
        wait_until(self.all_webs_listen, "the web processes' start", 180)
        words = {
            "NGINX_UPSTREAM": nginx.upstream(_LOCAL, list(self.webs.values())),
            "NGINX_BIND": _LOCAL,
            "NGINX_HTTP_PORT": str(free_port()),
            "NGINX_HTTPS_PORT": str(self.https_port),
            "NGINX_CERTIFICATE": str(self.state.pki / "server.pem"),
            "NGINX_KEY": str(self.state.pki / "server.key"),
            "PORTAL_URL": self.env["PORTAL_URL"],
        }
        self._start(nginx.child(self.state, words))
        wait_until(lambda: listens(_LOCAL, self.https_port), "nginx's start")

    def all_webs_listen(self) -> bool:
        """Say whether each web process takes requests."""
        return all(listens(_LOCAL, port) for port in self.webs.values())

    def start_one_web(self, name: str) -> None:
        """Start one of them."""
        self.start_process(name, "--port", str(self.webs[name]), kind="web")

    def start_bridge(self, name: str) -> None:
        """Start one; returns at once."""
        self.start_process(name, "-n", f"{name}@bench", kind="bridge")

    def writing_bridge(self) -> str | None:
        """Return which of the bridges writes, if one does yet."""
        for name in ("bridge-1", "bridge-2"):
            said = self.log(name)
            if said.rfind("connected to the broker") > said.rfind("standing by"):
                return name
        return None

    def transport(self) -> AmqpTransport:
        """Return the gateway's own way."""
        from django.conf import settings

        from messaging.gateway.amqp import AmqpTransport

        return AmqpTransport(settings.AMQP_HOST, settings.AMQP_PORT, settings.PKI_DIR)


class DirectPortal(RabbitPortal):
    """`RabbitPortal` whose callers come without nginx."""

    def more_settings(self) -> dict[str, str]:
        """Return what makes the portal use RabbitMQ."""
        return {name: value for name, value in super().more_settings().items() if name not in _OF_A_PROXY}
