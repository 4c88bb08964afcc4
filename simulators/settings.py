"""Where a simulated device's identity comes from: the portal's zip, a folder, or single files."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devices.profiles import Profile
from simulators.profiles import STANDARD, ProfileProblem, find_profile, read_profile

CONFIG_FILE, CA_FILE, CERTIFICATE_FILE, KEY_FILE = "config.json", "root-ca.pem", "device.crt", "device.key"
PROFILE_FILE = "profile.json"  # of a device whose profile is not a shipped one
DEFAULT_PORT = 8883
PASSWORD_PORT = 8884  # of the broker, for devices without a certificate
# Certificates and a small JSON file: anything larger is not ours.
LARGEST_FILE_BYTES = 256 * 1024


class SettingsError(Exception):
    """What was given cannot be used; the text says what is missing and where to get it."""


@dataclass(frozen=True)
class DeviceSettings:
    """One device's identity, its kind, and where its portal is. The PEM files are read when its TLS context is made."""

    device_id: str
    name: str
    host: str
    port: int
    profile: Profile
    ca: Path
    certificate: Path
    key: Path
    password: str | None = field(default=None, repr=False)
    """For a device that cannot hold a certificate: in place of certificate and key."""


@dataclass(frozen=True)
class Overrides:
    """What the command line says in place of a device's own config."""

    host: str | None = None
    port: int | None = None
    profile: Profile | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    password: str | None = field(default=None, repr=False)


def load(path: Path, overrides: Overrides, scratch: Path) -> DeviceSettings:
    """Return the settings in a zip downloaded from the portal, or in the folder it was unpacked to.

    A zip's files are unpacked into `scratch` (private; the caller removes it), because ssl reads files only.
    Raises: SettingsError.
    """
    if not path.exists():
        raise SettingsError(f"{path} does not exist")
    folder = path if path.is_dir() else _unpack(path, scratch)
    settings = _from_config(_read_config(folder, path), folder, path)
    return _checked(_overridden(settings, overrides), path)


def load_fleet(folder: Path, overrides: Overrides, scratch: Path) -> list[DeviceSettings]:
    """Return the settings of every device folder and zip directly in `folder`, in the order of their names.

    Raises: SettingsError.
    """
    return [load(path, overrides, scratch) for path in fleet_members(folder)]


def from_files(device_id: str, name: str, overrides: Overrides) -> DeviceSettings:
    """Return the settings of a device given by single files on the command line.

    Raises: SettingsError.
    """
    proof = overrides.password or (overrides.certificate and overrides.key)
    if overrides.ca is None or not proof:
        raise SettingsError("--id also needs --ca, --cert and --key (the files of the portal's download), or --password-file")
    empty = Path()
    settings = DeviceSettings(device_id, name or device_id[:8], "localhost", DEFAULT_PORT, STANDARD, empty, empty, empty)
    return _checked(_overridden(settings, overrides), Path("--id"))


def fleet_members(folder: Path) -> list[Path]:
    """Return every device folder and zip directly in `folder`, in the order of their names; there is at least one.

    Raises: SettingsError.
    """
    if not folder.is_dir():
        raise SettingsError(f"{folder} is not a folder")
    found = [path for path in sorted(folder.iterdir()) if (path / CONFIG_FILE).is_file() or path.suffix == ".zip"]
    if not found:
        raise SettingsError(f"{folder} holds neither a device's zip nor a folder with a {CONFIG_FILE}")
    return found


def _unpack(path: Path, scratch: Path) -> Path:
    """Unpack the files we know, and nothing else, into a new private folder."""
    folder = scratch / f"{len(list(scratch.iterdir()))}"
    folder.mkdir(mode=0o700)
    try:
        with zipfile.ZipFile(path) as archive:
            for name in (CONFIG_FILE, CA_FILE, CERTIFICATE_FILE, KEY_FILE, PROFILE_FILE):
                if name not in archive.namelist():
                    continue
                if archive.getinfo(name).file_size > LARGEST_FILE_BYTES:
                    raise SettingsError(f"{name} in {path} is far too large to be a device's")
                target = folder / name
                target.touch(mode=0o600)
                target.write_bytes(archive.read(name))
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise SettingsError(f"{path} is not a zip that can be read ({error}); download it again") from error
    return folder


def _read_config(folder: Path, path: Path) -> dict[str, Any]:
    try:
        config: Any = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"{path} has no {CONFIG_FILE}: is it the zip of a device, downloaded from the portal?") from error
    except (ValueError, OSError) as error:
        raise SettingsError(f"{CONFIG_FILE} of {path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise SettingsError(f"{CONFIG_FILE} of {path} is not a JSON object")
    return config


def _from_config(config: dict[str, Any], folder: Path, path: Path) -> DeviceSettings:
    try:
        device_id = str(config["device_id"])
        return DeviceSettings(
            device_id=device_id,
            name=str(config.get("name") or device_id[:8]),
            host=str(config["host"]),
            port=int(config.get("port", DEFAULT_PORT)),
            profile=_profile(str(config.get("profile", STANDARD.slug)), folder),
            ca=folder / CA_FILE,
            certificate=folder / CERTIFICATE_FILE,
            key=folder / KEY_FILE,
        )
    except KeyError as error:
        raise SettingsError(f"{CONFIG_FILE} of {path} says no {error.args[0]}") from error
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{CONFIG_FILE} of {path}: the port must be a number") from error
    except ProfileProblem as error:
        raise SettingsError(f"{path}: {error}; give --profile standard, or download it again") from error


def _profile(slug: str, folder: Path) -> Profile:
    """Return the profile of a download: the one it brings, or the shipped one that it names."""
    own = folder / PROFILE_FILE
    return read_profile(own) if own.is_file() else find_profile(slug)


def _overridden(settings: DeviceSettings, overrides: Overrides) -> DeviceSettings:
    given = {name: value for name, value in vars(overrides).items() if value is not None}
    return replace(settings, **given)


def _checked(settings: DeviceSettings, path: Path) -> DeviceSettings:
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,128}", settings.device_id):
        raise SettingsError(f"{settings.device_id!r} is not a device id: the portal shows it on the device's page")
    if not settings.host or not 0 < settings.port < 65536:
        raise SettingsError(f"{settings.host}:{settings.port} is not an address: give --host and --port")
    needed = {"root CA": settings.ca} if settings.password else {"root CA": settings.ca, "certificate": settings.certificate}
    for what, file in needed.items():
        if not file.is_file():
            raise SettingsError(f"{path} has no {what} ({file.name}); download it from the device's page")
    if not settings.password and not settings.key.is_file():
        raise SettingsError(
            f"{path} has no private key ({settings.key.name}). The portal keeps none for a device registered with a signing"
            " request: the key is on the machine that made the request. Give it with --key FILE."
        )
    return settings
