"""What a person chose on the command line, checked, and the ports kept from the last run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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

    @property
    def url(self) -> str:
        """The portal's address."""
        return self.addresses.url(self.web)

    @property
    def paypal_url(self) -> str:
        """The address of the PayPal to try with."""
        return f"http://{_LOCAL}:{self.paypal}"

    @property
    def mail_url(self) -> str:
        """The address of the page that lists caught mail."""
        return f"http://{_LOCAL}:{self.mail_page}/"


def read(state: State, environ: Mapping[str, str]) -> Config:
    """Return the configuration that `environ` and the last run's ports say; nothing is checked against what runs.

    Raises:
        StartError: a value cannot be used.
    """
    kept = read_json(_ports_file(state))

    def inner(variable: str) -> int:
        if environ.get(variable):
            return _port(environ, variable, 0)
        last = kept.get(variable)
        return last if isinstance(last, int) and ports.is_free(_LOCAL, last) else ports.free_port()

    config = Config(
        addresses=addresses.resolve(environ.get("HOST") or _LOCAL),
        web=_port(environ, "PORT", 8000),
        mqtt=_port(environ, "MQTT_PORT", 8883),
        smtp=_port(environ, "MAIL_PORT", 1025),
        mail_page=_port(environ, "MAIL_PAGE_PORT", 8025),
        paypal=_port(environ, "PAYPAL_PORT", 8026),
        postgres=inner("POSTGRES_PORT"),
        valkey=inner("VALKEY_PORT"),
    )
    _require_distinct(config)
    return config


def require_free_ports(config: Config) -> None:
    """Stop the start if any port is taken, naming all of them at once with the variables that change them.

    Raises:
        StartError: a port is taken.
    """
    taken = [
        (variable, port, ports.holder(port))
        for variable, host, port in _listeners(config)
        if not ports.is_free(host, port)
    ]  # fmt: skip
    if not taken:
        return
    used = {port for _, _, port in _listeners(config)}
    choice = []
    for variable, port, _ in taken:
        other = ports.next_free(config.addresses.bind, port, used)
        used.add(other)
        choice.append(f"{variable}={other}")
    said = " ".join(f"Port {port} is taken{holder}." for _, port, holder in taken)
    raise StartError(f"{said} Choose another: make run {' '.join(choice)}")


def keep_ports(state: State, config: Config) -> None:
    """Keep the inner ports for the next run."""
    write_private(_ports_file(state), json.dumps({"POSTGRES_PORT": config.postgres, "VALKEY_PORT": config.valkey}) + "\n")


def _ports_file(state: State) -> Path:
    return state.run / "ports.json"


def _listeners(config: Config) -> list[tuple[str, str, int]]:
    outside = config.addresses.bind
    return [
        ("PORT", outside, config.web),
        ("MQTT_PORT", outside, config.mqtt),
        ("MAIL_PORT", _LOCAL, config.smtp),
        ("MAIL_PAGE_PORT", _LOCAL, config.mail_page),
        ("PAYPAL_PORT", _LOCAL, config.paypal),
        ("POSTGRES_PORT", _LOCAL, config.postgres),
        ("VALKEY_PORT", _LOCAL, config.valkey),
    ]


def _port(environ: Mapping[str, str], variable: str, default: int) -> int:
    text = environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise StartError(f"{variable} must be a number between 1 and 65535, not {text!r}.")
    return int(text)


def _require_distinct(config: Config) -> None:
    seen: dict[int, str] = {}
    for variable, _, port in _listeners(config):
        if port in seen:
            raise StartError(f"{seen[port]} and {variable} are both {port}. Give them different ports.")
        seen[port] = variable
