"""What `make run-full` runs: the production stack on one machine, under the same supervisor as `make run`.

Here are RabbitMQ instead of the embedded broker, nginx with TLS in front of several web processes, bridge and tasks in workers of
their own, and a port for metrics and health on each process. RabbitMQ and nginx must be installed; both run as private instances.
"""

import contextlib
import resource
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from iotportal.embedded import config as configuration
from iotportal.embedded import nginx, postgres, rabbitmq, stack
from iotportal.embedded.addresses import in_url
from iotportal.embedded.config import Config, InnerPorts, port_of
from iotportal.embedded.errors import StartError
from iotportal.embedded.stack import Secrets, Service, Stack, listens, page_answers, process
from iotportal.embedded.state import State

_LOCAL = "127.0.0.1"
_OPEN_FILES = 16_384  # RabbitMQ and nginx hold a connection for each device and page
_MAX_PROCESSES = 16


@dataclass(frozen=True)
class FullConfig(Config):
    """Where everything of the production stack listens; `web` is nginx's TLS port."""

    http: int
    amqps: int
    web_processes: int
    bridges: int
    private: Mapping[str, int]  # by variable

    scheme: ClassVar[str] = "https"
    command: ClassVar[str] = "make run-full"

    def listeners(self) -> list[tuple[str, str, int]]:
        """Return what listens: the variable that chooses the port, the host, the port."""
        outside = [("HTTPS_PORT", self.web), ("HTTP_PORT", self.http), ("MQTT_PORT", self.mqtt), ("AMQP_PORT", self.amqps)]
        inside = [("MAIL_PORT", self.smtp), ("MAIL_PAGE_PORT", self.mail_page), *self.inner().items()]
        bind = self.addresses.bind
        return [(name, bind, port) for name, port in outside] + [(name, _LOCAL, port) for name, port in inside]

    def inner(self) -> dict[str, int]:
        """Return the private ports."""
        return {**Config.inner(self), **self.private}

    @property
    def webs(self) -> dict[str, int]:
        """The web processes and the ports on which nginx reaches them."""
        return {name: self.private[_variable(name)] for name in _numbered("web", self.web_processes)}

    @property
    def rabbit(self) -> rabbitmq.Ports:
        """RabbitMQ's ports."""
        private = (self.private[f"RABBITMQ_{word}_PORT"] for word in ("MANAGEMENT", "METRICS", "NAMES", "ERLANG"))
        return rabbitmq.Ports(self.amqps, self.mqtt, *private)


def read(state: State, environ: Mapping[str, str]) -> FullConfig:
    """Return the configuration that `environ` and the last run's ports say; nothing is checked against what runs.

    Raises:
        StartError: a value cannot be used, or RabbitMQ or nginx is not installed.
    """
    if rabbitmq.program() is None:
        raise StartError(f"RabbitMQ is not installed here. {rabbitmq.HINT}")
    if nginx.program() is None:
        raise StartError(f"nginx is not installed here. {nginx.HINT}")
    base = configuration.read(state, {**environ, "PORT": environ.get("HTTPS_PORT") or "8443"})
    webs, bridges = _count(environ, "WEB_PROCESSES", 2), _count(environ, "BRIDGES", 1)
    inner = InnerPorts(state, environ, taken=(port for _, _, port in base.listeners()))
    wanted = [f"RABBITMQ_{word}_PORT" for word in ("MANAGEMENT", "METRICS", "NAMES", "ERLANG")]
    wanted += [_variable(name) for name in ("broker-auth", *_numbered("web", webs))]
    wanted += [_watch_variable(name) for name in _watched(webs, bridges)]
    config = FullConfig(
        **{field.name: getattr(base, field.name) for field in fields(base)},
        http=port_of(environ, "HTTP_PORT", 8080),
        amqps=port_of(environ, "AMQP_PORT", 5671),
        web_processes=webs,
        bridges=bridges,
        private={name: inner.take(name) for name in wanted},
    )
    configuration.require_distinct(config)
    return config


def _count(environ: Mapping[str, str], variable: str, default: int) -> int:
    text = environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MAX_PROCESSES):
        raise StartError(f"{variable} must be a number between 1 and {_MAX_PROCESSES}, not {text!r}.")
    return int(text)


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(1, count + 1)]


def _watched(webs: int, bridges: int) -> list[str]:
    return [*_numbered("web", webs), *_numbered("bridge", bridges), "tasks", "beat", "broker-auth"]


def _variable(name: str) -> str:
    return f"{name.upper().replace('-', '_')}_PORT"


def _watch_variable(name: str) -> str:
    return f"WATCH_{_variable(name)}"


def environment(state: State, config: FullConfig, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every Django process: that of `make run`, and what makes it the production stack."""
    auth = config.private[_variable("broker-auth")]
    ours = {
        "PORTAL_BEHIND_PROXY": "true",
        # Browsers keep it for a year and for the host's every port: `make run` on the same machine would be shut out.
        "PORTAL_HSTS_SECONDS": "0",
        "PORTAL_BROKER": "rabbitmq",
        "PORTAL_BROKER_SOCKETS": "",  # they are the embedded broker's
        "PORTAL_AMQP_DEVICES": inherited.get("PORTAL_AMQP_DEVICES") or "true",  # one simulated device speaks it
        "AMQP_HOST": config.addresses.inside,
        "AMQP_PORT": str(config.amqps),
        "RABBITMQ_URL": f"http://{_LOCAL}:{config.rabbit.management}",
        "PORTAL_BROKER_AUTH_PORT": str(auth),
        "PORTAL_BROKER_AUTH_URL": f"http://{_LOCAL}:{auth}",
        "PORTAL_WATCH_BIND": _LOCAL,
    }
    # The PayPal to try with is for the desk: it does not trust this portal's certificate.
    return stack.environment(state, config, inherited, own_paypal=False) | ours


def build(state: State, config: FullConfig, kept: Secrets, where: postgres.Place, env: Mapping[str, str]) -> Stack:
    """Return the stack. `env` is what `environment` returned."""
    _allow_sockets()
    inside, ports = config.addresses.inside, config.rabbit
    names, server = rabbitmq.children(state, ports)
    places = ("--rabbitmq", str(rabbitmq.folder(state)), "--management", str(ports.management), "--metrics", str(ports.metrics))

    def watched(name: str, *more: str, kind: str = "", ready_line: bytes | None = None, port: int = 0) -> Service:
        variables = {"PORTAL_WATCH_PORT": str(config.private[_watch_variable(name)])}
        ready = (lambda: listens(_LOCAL, port)) if port else None
        return Service(process(name, env, *more, kind=kind, **variables), ready=ready, ready_line=ready_line)

    def worker(name: str, kind: str) -> Service:
        return watched(name, "-n", f"{name}@%h", kind=kind, ready_line=stack.WORKER_READY)

    return Stack(
        databases=(
            *stack.databases(state, config, kept, where),
            Service(names, ready=lambda: listens(_LOCAL, ports.names)),
        ),
        first_run=stack.first_run(config, env, *places),
        servers=(
            watched("broker-auth", port=config.private[_variable("broker-auth")]),
            Service(server, ready=lambda: listens(inside, ports.amqps) and listens(inside, ports.mqtts)),
            stack.mail(config, env),
        ),
        web=(
            *(watched(name, "--port", str(port), kind="web", port=port) for name, port in config.webs.items()),
            Service(nginx.child(state, _nginx_words(state, config)), ready=lambda: _page_answers(state, config)),
        ),
        workers=(
            *(worker(name, "bridge") for name in _numbered("bridge", config.bridges)),
            worker("tasks", "tasks"),
            watched("beat", ready_line=stack.BEAT_READY),
        ),
        devices=(
            Service(process("emulators", env)),
            stack.simulator("devices", env, "simulators.mqtt", state.root / "simulators", inside, config.mqtt),
            stack.simulator("amqp-devices", env, "simulators.amqp", state.root / "simulators-amqp", inside, config.amqps),
        ),
    )


def _nginx_words(state: State, config: FullConfig) -> dict[str, str]:
    return {
        "NGINX_UPSTREAM": nginx.upstream(_LOCAL, list(config.webs.values())),
        "NGINX_BIND": in_url(config.addresses.bind),
        "NGINX_HTTP_PORT": str(config.http),
        "NGINX_HTTPS_PORT": str(config.web),
        "NGINX_CERTIFICATE": str(state.pki / "server.pem"),
        "NGINX_KEY": str(state.pki / "server.key"),
        "PORTAL_URL": config.url,
    }


def _page_answers(state: State, config: FullConfig) -> bool:
    """Whether the first page comes through nginx, with a certificate of this portal."""
    if not all(listens(_LOCAL, port) for port in config.webs.values()):
        return False  # and nginx would only complain
    context = ssl.create_default_context(cafile=str(state.pki / "root-ca.pem"))
    return page_answers(config.addresses.inside, config.web, context)


def _allow_sockets() -> None:
    """Raise the number of open files, which our children inherit, as far as the system lets an ordinary user."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _OPEN_FILES)
    if wanted > now:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
