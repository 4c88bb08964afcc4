"""The zip a device's page offers: identity, simulator and paho in one file that Python runs as it is."""

from __future__ import annotations

import functools
import importlib.metadata
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import paho.mqtt

import devices.profiles
from simulators.settings import CA_FILE, CERTIFICATE_FILE, CONFIG_FILE, KEY_FILE

# The earliest a zip can say: the same content gives the same bytes.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_PUBLIC, _PRIVATE = 0o644, 0o600
_README_FILE = "README.txt"

# Python 2 must be able to read it as far as the version check.
_MAIN = b'''"""Runs the simulated device whose identity is in this zip: python3 THIS.zip"""
import os
import sys

if sys.version_info < (3, 9):
    sys.exit("This needs Python 3.9 or newer; this one is " + sys.version.split()[0])

from simulators.mqtt import main

sys.exit(main(["--zip", os.path.dirname(os.path.abspath(__file__))] + sys.argv[1:]))
'''

_README = """{name}: a simulated device for {host}:{port}

This one file is the device: certificates, program and all. It needs Python 3.9
or newer and nothing else.

  macOS, Linux    python3 {file}
  Windows         py {file}

Keep it to yourself: whoever has the private key in it is this device.

{key_note}It answers what the portal asks, shows what comes and goes, and understands at
its terminal what the device understands on its UART ("help" lists it).
All options:  python3 {file} --help

The same device for Node.js 18.3 or newer: unpack the zip, and in the folder
simulators/node say "npm ci", then "node mqtt.js --zip ../..".

  config.json     device id, broker, kind of device
  root-ca.pem     who signs the broker's certificate
  device.crt      this device's certificate
  device.key      its private key{key_missing}
  simulators/     the program; devices/ has the kinds of devices that it knows
  paho/           Eclipse Paho MQTT client {paho_version}, with its licences in
                  paho_mqtt-licenses/

Does it not come up? It says why. "refused" means the device was revoked or
deleted at the portal; "not signed by this root-ca.pem" means another portal, or
one set up anew: download the zip again.
"""

_KEY_NOTE = """THE KEY IS MISSING: you registered this device with a signing request of your
own, so the portal never had its private key. Give it:

  python3 {file} --key PATH/TO/YOUR.key

or unpack the zip, put the key beside device.crt as device.key, and run
"python3 FOLDER" with the folder's name.

"""


def build_device_zip(
    config: Mapping[str, Any],
    root_ca: bytes,
    certificate: bytes,
    private_key: bytes | None,
    extra: Mapping[str, bytes],
) -> bytes:
    """Return the runnable zip of one device.

    `config`: {"device_id", "name", "host", "port", "profile"}, and what else the portal wants in config.json; the
    PEMs as bytes, `private_key` None for a device registered with a CSR; `extra`: more files by plain name.
    The same arguments give the same bytes. Takes a few ms; the part that is alike for all devices is kept in memory.
    Raises: ValueError when a name in `extra` is not a plain new file name; KeyError when `config` lacks a field.
    """
    own: dict[str, tuple[bytes, int]] = {
        _README_FILE: (_readme(config, has_key=private_key is not None), _PUBLIC),
        CONFIG_FILE: (json.dumps(dict(config), indent=2).encode("utf-8") + b"\n", _PUBLIC),
        CA_FILE: (root_ca, _PUBLIC),
        CERTIFICATE_FILE: (certificate, _PUBLIC),
    }
    if private_key is not None:
        own[KEY_FILE] = (private_key, _PRIVATE)
    for name, content in extra.items():
        if (
            not re.fullmatch(r"[\w][\w.-]*", name)
            or name in own
            or name in (KEY_FILE, "__main__.py", "simulators", "devices", "paho")
        ):
            raise ValueError(f"{name!r} cannot be added to a device's zip")
        own[name] = (content, _PUBLIC)
    buffer = io.BytesIO()
    buffer.write(_static_part())
    # Appending keeps the compressed static entries as they are and writes a new directory behind them.
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, (content, mode) in own.items():
            _add(archive, name, content, mode)
    return buffer.getvalue()


def zip_filename(name: str, device_id: str) -> str:
    """Return the file name a device's zip should be downloaded as: safe in a shell, and what its README says."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return f"{slug or device_id[:8]}.zip"


def _readme(config: Mapping[str, Any], *, has_key: bool) -> bytes:
    file = zip_filename(str(config["name"]), str(config["device_id"]))
    text = _README.format(
        name=" ".join(str(config["name"]).split()) or str(config["device_id"])[:8],
        host=config["host"],
        port=config["port"],
        file=file,
        key_note="" if has_key else _KEY_NOTE.format(file=file),
        key_missing="" if has_key else " (put it here yourself)",
        paho_version=importlib.metadata.version("paho-mqtt"),
    )
    # Windows' editors have learned to live with bare newlines; its oldest one has not.
    return text.replace("\n", "\r\n").encode("utf-8")


def _add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    entry = zipfile.ZipInfo(name, _TIMESTAMP)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, on every system, so that the mode counts and the bytes are alike
    entry.external_attr = (0o100000 | mode) << 16
    archive.writestr(entry, content)


@functools.lru_cache(maxsize=1)
def _static_part() -> bytes:
    """Return a zip of what is alike for all devices: the program, paho and its licences."""
    files: dict[str, bytes] = {"__main__.py": _MAIN}
    here = Path(__file__).parent
    for path in (*here.glob("*.py"), here / "README.md"):
        files[f"simulators/{path.name}"] = path.read_bytes()
    for path in (*here.glob("node/*.js"), *here.glob("node/package*.json")):
        files[f"simulators/node/{path.name}"] = path.read_bytes()
    # Of the portal only what says what a kind of device is; it needs nothing else.
    profiles = Path(devices.profiles.__file__)
    for path in (profiles, profiles.with_name("__init__.py"), *profiles.parent.glob("profile_data/*.json")):
        files[f"devices/{path.relative_to(profiles.parent).as_posix()}"] = path.read_bytes()
    files.update(_paho_files())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            _add(archive, name, files[name], _PUBLIC)
    return buffer.getvalue()


def _paho_files() -> dict[str, bytes]:
    """Return the installed paho package and its licence files, by their name in the zip."""
    package = Path(paho.mqtt.__file__).parent.parent
    found = {f"paho/{path.relative_to(package).as_posix()}": path.read_bytes() for path in package.rglob("*.py")}
    for file in importlib.metadata.files("paho-mqtt") or ():
        if "dist-info" in file.parts[0] and (file.parent.name == "licenses" or file.name.lower().startswith("licen")):
            found[f"paho_mqtt-licenses/{file.name}"] = file.read_binary()
    return found
