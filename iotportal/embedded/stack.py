"""The processes of the stack, what each is told, and how it shows that it is ready. Data only: `supervisor` runs them."""

import base64
import contextlib
import http.client
import secrets
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from iotportal import processes
from iotportal.embedded import postgres, valkey
from iotportal.embedded.addresses import in_url
from iotportal.embedded.children import Child
from iotportal.embedded.config import Config
from iotportal.embedded.state import State, write_private
from iotportal.sockets import fits_sockets

_LOCAL = "127.0.0.1"
_WELL_KNOWN = "demo-portal"
WORKER_READY, BEAT_READY = b" ready.", b"beat: Starting"


@dataclass(frozen=True, slots=True)
class Service:
    """A process that runs for as long as the stack.

    `ready` asks (it may block for a few seconds) whether it can be used; `ready_line` is what it prints then, for a process
    that listens on nothing. With neither it counts as ready at once. `wanted` says just before the start whether there is
    anything for it to do.
    """

    child: Child
    ready: Callable[[], bool] | None = None
    ready_line: bytes | None = None
    start_s: float = 60.0
    wanted: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Stack:
    """All processes in the order of their start; those of one group start together."""

    databases: tuple[Service, ...]
    first_run: Child  # migrations, keys, demo: runs to its end before anything after it starts
    servers: tuple[Service, ...]
    web: tuple[Service, ...]
    workers: tuple[Service, ...]
    devices: tuple[Service, ...]

    def groups(self) -> list[tuple[Child, ...]]:
        """Return what stops together, in the order of the start; it is stopped in the reverse one."""
        after = (self.servers, self.web + self.workers, self.devices)
        return [_children(self.databases), (self.first_run,), *map(_children, after)]


def _children(services: tuple[Service, ...]) -> tuple[Child, ...]:
    return tuple(service.child for service in services)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What was made on the first run and is kept in var/secrets."""

    postgres_superuser: str
    postgres_portal: str
    valkey: str
    demo_password: str


def make_secrets(state: State, config: Config) -> Secrets:
    """Read or make all secrets, and write the URLs that carry one into files of their own."""
    made = Secrets(
        postgres_superuser=state.secret("postgres-superuser"),
        postgres_portal=state.secret("postgres-portal"),
        valkey=state.secret("valkey"),
        demo_password=_demo_password(state, config.is_for_this_desk),
    )
    state.secret("secret-key", lambda: secrets.token_urlsafe(50))
    state.secret("seal-key", lambda: base64.b64encode(secrets.token_bytes(32)).decode())
    write_private(state.secrets / "database-url", postgres.url(config.postgres, made.postgres_portal) + "\n")
    write_private(state.secrets / "valkey-url", valkey.url(config.valkey, made.valkey) + "\n")
    return made


def _demo_password(state: State, may_be_known: bool) -> str:
    """Return the demo user's password: the one everybody knows does no harm only while nobody else can connect.

    Once it has been changed for the network it stays changed.
    """
    password = state.secret("demo-password", lambda: _WELL_KNOWN)
    if password == _WELL_KNOWN and not may_be_known:
        password = secrets.token_urlsafe(9)
        write_private(state.secrets / "demo-password", password + "\n")
    return password


def environment(state: State, config: Config, inherited: Mapping[str, str], *, own_paypal: bool = True) -> dict[str, str]:
    """Return the environment of every Django process: ours over what the shell has, secrets as names of files.

    With `own_paypal` credits are sold by the PayPal to try with, if the shell says nothing else.
    """
    names = config.addresses.names
    ours = {
        "DJANGO_SETTINGS_MODULE": "iotportal.settings",
        "PORTAL_URL": config.url,
        "PORTAL_ALLOWED_HOSTS": ",".join(in_url(name) for name in names),
        "PORTAL_TRUSTED_ORIGINS": ",".join(f"{config.scheme}://{in_url(name)}:{config.web}" for name in names),
        "PORTAL_STATE_DIR": str(state.root),
        "PORTAL_PKI_DIR": str(state.pki),
        "PORTAL_EMAIL_HOST": _LOCAL,
        "PORTAL_EMAIL_PORT": str(config.smtp),
        "PORTAL_SMS_SENDERS": "twilio",  # as the catcher speaks it
        "PORTAL_TWILIO_URL": config.mail_url,
        "PORTAL_PUSH_CATCHER": f"{config.mail_url}push",
        "PORTAL_OUTWARD_ORIGINS": config.mail_url.rstrip("/"),  # pushes to it
        "TWILIO_ACCOUNT_SID": "AC0",
        "TWILIO_AUTH_TOKEN": "caught",
        "TWILIO_NUMBER_FROM": "+15005550006",
        "PORTAL_BROKER_SOCKETS": broker_sockets(state),
        "PORTAL_BROKER_BIND": config.addresses.bind,
        "PORTAL_DEVICE_HOST": config.addresses.public,
        "PORTAL_DEVICE_PORT": str(config.mqtt),
        "MQTT_HOST": config.addresses.inside,
        "MQTT_PORT": str(config.mqtt),
        "PYTHONUNBUFFERED": "1",
    }
    if own_paypal:
        ours |= _selling(config, inherited)
    files = {
        "PORTAL_SECRET_KEY": "secret-key",
        "PORTAL_SEAL_KEY": "seal-key",
        "DATABASE_URL": "database-url",
        "VALKEY_URL": "valkey-url",
        "PORTAL_DEMO_PASSWORD": "demo-password",
    }
    # Without byte code each of the processes would compile all of our modules at every start.
    dropped = {
        "PYTHONDONTWRITEBYTECODE",
        "PORTAL_BRIDGE",
        "CELERY_BROKER_URL",
        "CELERY_BROKER_URL_FILE",
        "TWILIO_AUTH_TOKEN_FILE",
        *files,
    }
    result = {name: value for name, value in inherited.items() if name not in dropped}
    return result | ours | {f"{name}_FILE": str(state.secrets / file) for name, file in files.items()}


def broker_sockets(state: State) -> str:
    """Return the folder in which gateway and bridge come in without TLS; empty where its path is too long for that."""
    return str(state.sockets) if fits_sockets(state.sockets) else ""


def _selling(config: Config, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what sells by the PayPal to try with, by the interface that the shell names; nothing if it has another, or none."""
    chosen = inherited.get("PORTAL_PAYMENTS")
    if chosen is not None and (not chosen.startswith("paypal_") or any(name.startswith("PORTAL_PAYPAL_") for name in inherited)):
        return {}
    return {
        "PORTAL_PAYMENTS": chosen or "paypal_standard",
        "PORTAL_PAYPAL_URL": config.paypal_url,
        "PORTAL_PAYPAL_RECEIVER": "seller@example.com",
        "PORTAL_PAYPAL_PDT_TOKEN": "SANDBOX-IDENTITY-TOKEN",
        "PORTAL_PAYPAL_CLIENT_ID": "sandbox",
        "PORTAL_PAYPAL_WEBHOOK_ID": "WH-SANDBOX",
        "PORTAL_SELLER": "IoT Portal on this machine|Nobody pays here",
    }


def child(name: str, env: Mapping[str, str], *argv: str, grace_s: float = 3.0) -> Child:
    """Return a process of ours: Python with `argv`."""
    return Child(name=name, argv=(sys.executable, *argv), env=env, grace_s=grace_s)


def process(name: str, env: Mapping[str, str], *more: str, kind: str = "", **variables: str) -> Child:
    """Return the process `kind` (else `name`) of `iotportal.processes`, with options and variables of its own."""
    kind = kind or name
    return Child(name, processes.command(kind, *more), env={**env, **processes.PROCESSES[kind].env, **variables})


def databases(state: State, config: Config, kept: Secrets, where: postgres.Place) -> tuple[Service, ...]:
    """Return PostgreSQL and Valkey."""
    return (
        Service(
            postgres.child(where, config.postgres),
            ready=lambda: postgres.answers(config.postgres, kept.postgres_superuser),
        ),
        Service(valkey.child(state, config.valkey, kept.valkey), ready=lambda: valkey.answers(config.valkey, kept.valkey)),
    )


def first_run(config: Config, env: Mapping[str, str], *more: str) -> Child:
    """Return what brings the data up to date."""
    names = [word for name in config.addresses.names for word in ("--name", name)]
    return child("first-run", env, "-m", "iotportal.embedded.first_run", *names, *more)


def mail(config: Config, env: Mapping[str, str]) -> Service:
    """Return the mail catcher."""
    ports = ("--smtp-port", str(config.smtp), "--page-port", str(config.mail_page))
    key = ("--push-key", str(Path(env["PORTAL_STATE_DIR"]) / "secrets" / "push-browser"))
    return Service(
        child("mail", env, "-m", "iotportal.embedded.mailcatcher", *ports, *key, grace_s=2.0),
        ready=lambda: listens(_LOCAL, config.smtp) and listens(_LOCAL, config.mail_page),
    )


def paypal(config: Config, env: Mapping[str, str]) -> Service:
    """Return the PayPal to try with."""
    sites = [config.url, *env["PORTAL_TRUSTED_ORIGINS"].split(",")]
    words = [word for site in sites for word in ("--portal", site)]
    return Service(
        child("paypal", env, "-m", "simulators.paypal", "--port", str(config.paypal), *words, grace_s=2.0),
        ready=lambda: listens(_LOCAL, config.paypal),
    )


def simulator(name: str, env: Mapping[str, str], module: str, folder: Path, host: str, port: int) -> Service:
    """Return the simulated devices of one folder."""
    where = ("--fleet", str(folder), "--host", host, "--port", str(port), "--quiet")
    return Service(child(name, env, "-m", module, *where, grace_s=2.0), wanted=lambda: any(folder.glob("*/config.json")))


def build(state: State, config: Config, kept: Secrets, where: postgres.Place, env: Mapping[str, str]) -> Stack:
    """Return the stack. `env` is what `environment` returned."""
    bind, inside = config.addresses.bind, config.addresses.inside
    own_paypal = env.get("PORTAL_PAYPAL_URL") == config.paypal_url
    return Stack(
        databases=databases(state, config, kept, where),
        first_run=first_run(config, env),
        servers=(
            Service(process("broker", env), ready=lambda: listens(inside, config.mqtt)),
            mail(config, env),
            *([paypal(config, env)] if own_paypal else []),
        ),
        web=(
            Service(
                process("web", env, "--host", bind, "--port", str(config.web)),
                ready=lambda: page_answers(inside, config.web),
            ),
        ),
        workers=(Service(process("worker", env), ready_line=WORKER_READY), Service(process("beat", env), ready_line=BEAT_READY)),
        devices=(
            Service(process("emulators", env)),
            simulator("devices", env, "simulators.mqtt", state.root / "simulators", inside, config.mqtt),
        ),
    )


def listens(host: str, port: int) -> bool:
    """Whether something takes connections there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def page_answers(host: str, port: int, tls: ssl.SSLContext | None = None) -> bool:
    """Whether the portal's first page is really there, signed out: a page, or the way to the sign-in page."""
    target = "/"
    link = (
        http.client.HTTPConnection(host, port, timeout=15)
        if tls is None
        else http.client.HTTPSConnection(host, port, timeout=15, context=tls)
    )
    with contextlib.closing(link):
        try:
            for _ in range(4):
                link.request("GET", target, headers={"Host": "localhost"})
                answer = link.getresponse()
                answer.read()
                target = answer.getheader("Location", "")
                if answer.status not in (301, 302) or not target.startswith("/"):
                    return answer.status == 200
        except (OSError, http.client.HTTPException):
            return False
    return False


def environment_file(state: State) -> Path:
    """Return where the environment of the running stack is kept for `make manage`."""
    return state.run / "environment.json"
