"""What a person chose on the command line, checked, and the ports kept from the last run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from iotportal.embedded import addresses, ports
from iotportal.embedded.addresses import Addresses
from iotportal.embedded.errors import StartError
from iotportal.embedded.state import State, read_json, write_private

_LOCAL = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Config:
    """Where everything listens. Mail, the PayPal to try with, PostgreSQL and Valkey stay on 127.0.0.1 whatever HOST says."""

    addresses: Addresses
    web: int
    mqtt: int
    smtp: int
    mail_page: int
    paypal: int
    postgres: int
    valkey: int

    scheme: ClassVar[str] = "http"
    command: ClassVar[str] = "make run"

    @property
    def url(self) -> str:
        """The portal's address."""
        return self.addresses.url(self.web, self.scheme)

    @property
    def paypal_url(self) -> str:
        """The address of the PayPal to try with."""
        return f"http://{_LOCAL}:{self.paypal}"

    @property
    def mail_url(self) -> str:
        """The address of the page that lists caught mail."""
        return f"http://{_LOCAL}:{self.mail_page}/"

    @property
    def is_for_this_desk(self) -> bool:
        """Whether nobody else can connect, so that passwords that everybody knows do no harm."""
        return self.addresses.is_loopback and self.scheme == "http"

    def listeners(self) -> list[tuple[str, str, int]]:
        """Return what listens: the variable that chooses the port, the host, the port."""
        outside = self.addresses.bind
        return [
            ("PORT", outside, self.web),
            ("MQTT_PORT", outside, self.mqtt),
            ("MAIL_PORT", _LOCAL, self.smtp),
            ("MAIL_PAGE_PORT", _LOCAL, self.mail_page),
            ("PAYPAL_PORT", _LOCAL, self.paypal),
            *((name, _LOCAL, port) for name, port in self.inner().items()),
        ]

    def inner(self) -> dict[str, int]:
        """Return the ports that nobody needs to know, which are kept for the next run, by variable."""
        return {"POSTGRES_PORT": self.postgres, "VALKEY_PORT": self.valkey}


class InnerPorts:
    """Ports that only our own processes use: the variable's, or the last run's if it is free, or any free one; each once."""

    def __init__(self, state: State, environ: Mapping[str, str], taken: Iterable[int] = ()) -> None:
        self._kept, self._environ, self._given = read_json(_ports_file(state)), environ, set(taken)

    def take(self, variable: str) -> int:
        """Return the port for `variable`.

        Raises:
            StartError: its value is no port.
        """
        if self._environ.get(variable):
            return port_of(self._environ, variable, 0)
        last = self._kept.get(variable)
        port = last if isinstance(last, int) and last not in self._given and ports.is_free(_LOCAL, last) else ports.free_port()
        while port in self._given:
            port = ports.free_port()
        self._given.add(port)
        return port


def read(state: State, environ: Mapping[str, str]) -> Config:
    """Return the configuration that `environ` and the last run's ports say; nothing is checked against what runs.

    Raises:
        StartError: a value cannot be used.
    """
    inner = InnerPorts(state, environ)
    config = Config(
        addresses=addresses.resolve(environ.get("HOST") or _LOCAL),
        web=port_of(environ, "PORT", 8000),
        mqtt=port_of(environ, "MQTT_PORT", 8883),
        smtp=port_of(environ, "MAIL_PORT", 1025),
        mail_page=port_of(environ, "MAIL_PAGE_PORT", 8025),
        paypal=port_of(environ, "PAYPAL_PORT", 8026),
        postgres=inner.take("POSTGRES_PORT"),
        valkey=inner.take("VALKEY_PORT"),
    )
    require_distinct(config)
    return config


def require_free_ports(config: Config) -> None:
    """Stop the start if any port is taken, naming all of them at once with the variables that change them.

    Raises:
        StartError: a port is taken.
    """
    taken = [
        (variable, port, ports.holder(port))
        for variable, host, port in config.listeners()
        if not ports.is_free(host, port)
    ]  # fmt: skip
    if not taken:
        return
    used = {port for _, _, port in config.listeners()}
    choice = []
    for variable, port, _ in taken:
        other = ports.next_free(config.addresses.bind, port, used)
        used.add(other)
        choice.append(f"{variable}={other}")
    said = " ".join(f"Port {port} is taken{holder}." for _, port, holder in taken)
    raise StartError(f"{said} Choose another: {config.command} {' '.join(choice)}")


def keep_ports(state: State, config: Config) -> None:
    """Keep the inner ports for the next run."""
    write_private(_ports_file(state), json.dumps(config.inner()) + "\n")


def _ports_file(state: State) -> Path:
    return state.run / "ports.json"


def port_of(environ: Mapping[str, str], variable: str, default: int) -> int:
    """Return the port that a variable says, or the default. Raises StartError."""
    text = environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise StartError(f"{variable} must be a number between 1 and 65535, not {text!r}.")
    return int(text)


def require_distinct(config: Config) -> None:
    """Raise StartError if two of its ports are one."""
    seen: dict[int, str] = {}
    for variable, _, port in config.listeners():
        if port in seen:
            raise StartError(f"{seen[port]} and {variable} are both {port}. Give them different ports.")
        seen[port] = variable
