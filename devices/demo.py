"""The demo user and the devices that `make run` simulates.

The user is made once, with its devices; that it exists is the memory that this was done, so what the demo user deletes or
renames stays so. The simulators' folders, one per device, follow the registry at every start: each holds the `config.json` and
the PEM files that `simulators.mqtt` reads, and is written again where the address, the authority or the device changed.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.services import create_user, personal_account
from devices import pki
from devices.downloads import KeyUnavailable, active_certificate, device_config, device_files, profile_file, slug
from devices.models import Device
from devices.pki.files import private_directory, write_if_changed
from devices.services import name_pin, register_device, renew_certificate
from simulators.settings import CA_FILE, CERTIFICATE_FILE, CONFIG_FILE, KEY_FILE, PROFILE_FILE

logger = logging.getLogger(__name__)

USERNAME = "demo"
EMAIL = "demo@example.com"
WELL_KNOWN = "demo-portal"  # the password while nobody else can connect
_MADE_WITHIN = timedelta(seconds=10)  # the user and its devices are made in one go


class NoDemo(Exception):
    """The demo's e-mail belongs to another user, or its user name does."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A demo device: its name, kind, the pins that are named from the start, and whether it is simulated over AMQP."""

    name: str
    profile: str
    pins: Mapping[int, str]
    over_amqp: bool = False


_PLANS = (
    _Plan("Greenhouse pump", "standard", {10: "Pump", 11: "Valve, north bed", 12: "Fan", 13: "Float switch"}),
    _Plan("Workshop bench", "modern", {2: "Bench light", 3: "Extractor", 4: "Emergency stop"}),
    _Plan("Door buzzer", "ft900", {16: "Buzzer", 17: "Door contact"}),
)
_ON_RABBITMQ = (*_PLANS, _Plan("Cold store", "standard", {4: "Compressor", 5: "Door"}, over_amqp=True))


@dataclass(frozen=True, slots=True)
class DemoState:
    """What a set-up found or made: whether the user is new, and the folders of the devices to simulate."""

    created: bool
    folders: list[Path]


def set_up_demo(*, password: str, directory: Path) -> DemoState:
    """Make the demo user and its devices if that was never done, and bring the simulators' folders below `directory` up to date.

    Where the broker is RabbitMQ there is a device more, which speaks AMQP; its folder is below `amqp_directory(directory)`.

    Raises:
        NoDemo: somebody else has the demo's user name or e-mail.
        devices.pki.PkiError: the certificate authority is not usable.
    """
    user, created = _demo_user(password)
    return DemoState(created, _write_folders(user, private_directory(directory)))


def amqp_directory(directory: Path) -> Path:
    """Return where the folders of the devices that speak AMQP are, beside the others'."""
    return directory.with_name(f"{directory.name}-amqp")


def _plans() -> tuple[_Plan, ...]:
    return _ON_RABBITMQ if settings.BROKER == "rabbitmq" and settings.AMQP_DEVICES else _PLANS


def _demo_user(password: str) -> tuple[User, bool]:
    found = User.objects.filter(username=USERNAME).first()
    if found is None:
        try:
            return _make_user(password), True
        except IntegrityError:
            # Another process was faster, or a person has the address: the row says which.
            found = User.objects.filter(username=USERNAME).first()
    if found is None or found.email != EMAIL:
        raise NoDemo(f"The user name {USERNAME} or the e-mail {EMAIL} belongs to somebody.")
    if password != WELL_KNOWN and found.check_password(WELL_KNOWN):
        # Made while only this machine could connect, and now others can.
        found.set_password(password)
        found.save(update_fields=["password"])
    return found, False


@transaction.atomic
def _make_user(password: str) -> User:
    """Make all of it or nothing, so that a start that was stopped half-way begins again."""
    user = create_user(username=USERNAME, email=EMAIL, password=password, first_name="Demo", last_name="User")
    account = personal_account(user)
    for plan in _plans():
        device = register_device(account=account, name=plan.name, profile=plan.profile).device
        for number, name in plan.pins.items():
            name_pin(device=device, number=number, name=name)
    return user


# --- the simulators' folders ---------------------------------------------------------------------------------------------------


def _write_folders(user: User, directory: Path) -> list[Path]:
    """Bring the folders in line with the demo devices that still exist; return them."""
    devices = Device.objects.filter(account=personal_account(user))
    over_amqp = {plan.name for plan in _plans() if plan.over_amqp}
    elsewhere = private_directory(amqp_directory(directory)) if over_amqp else directory
    known = {**dict(_known_folders(directory)), **dict(_known_folders(elsewhere))}
    current = []
    for device in devices:
        folder = known.get(device.hex)
        if device.deleted_at is not None:
            if folder is not None:
                shutil.rmtree(folder)
            continue
        place = folder or (elsewhere if device.name in over_amqp else directory) / slug(device)
        if (folder is not None or _is_ours(device, user)) and _write_folder(device, place):
            current.append(place)
    return sorted(current)


def _is_ours(device: Device, user: User) -> bool:
    """Say whether a device without a folder is one we made (the folders were lost), not one that a person named the same."""
    return device.name in {plan.name for plan in _plans()} and device.created_at - user.date_joined < _MADE_WITHIN


def _known_folders(directory: Path) -> Iterator[tuple[str, Path]]:
    """Return the device id and path of every simulator's folder."""
    for path in sorted(directory.glob(f"*/{CONFIG_FILE}")):
        try:
            yield str(json.loads(path.read_text("utf-8"))["device_id"]), path.parent
        except (ValueError, KeyError, TypeError):
            logger.warning("%s is not a simulator's configuration; it is left alone", path)


def _write_folder(device: Device, folder: Path) -> bool:
    """Write what changed; say whether the folder can be simulated now."""
    certificate = active_certificate(device)
    if certificate is None or not pki.is_usable(certificate.pem.encode("ascii")):
        renew_certificate(device=device)  # the authority was made anew, or a year has passed
    try:
        files = device_files(device)
    except KeyUnavailable:
        renew_certificate(device=device)  # the seal key was changed; nobody but the simulator has this device's key
        files = device_files(device)
    private_directory(folder)
    content = {
        CA_FILE: files.root_ca,
        CERTIFICATE_FILE: files.certificate,
        KEY_FILE: files.private_key,
        CONFIG_FILE: json.dumps(device_config(device), indent=2).encode() + b"\n",
        **profile_file(device),
    }
    if PROFILE_FILE not in content:
        (folder / PROFILE_FILE).unlink(missing_ok=True)  # it was of another kind before
    for name, data in content.items():
        if data is not None:
            write_if_changed(folder / name, data)
    if (folder / KEY_FILE).exists():
        return True
    logger.warning("%s cannot be simulated: its key was forgotten", device.hex)
    return False
