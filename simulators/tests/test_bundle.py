"""The zip that a device's page offers."""

import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from simulators.bundle import build_device_zip, zip_filename
from simulators.tests.pki import Authority

CONFIG = {"device_id": "a" * 32, "name": "Greenhouse pump", "host": "portal.example", "port": 8883, "profile": "modern"}


def build(key: bytes | None = b"KEY", **extra: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(build_device_zip(CONFIG, b"CA", b"CRT", key, extra)))


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    # -I -S: neither this checkout nor any installed package can be imported.
    return subprocess.run([sys.executable, "-I", "-S", *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_it_holds_identity_program_and_licences() -> None:
    archive = build(**{"iot_config.h": b"#define X"})
    assert archive.testzip() is None
    assert json.loads(archive.read("config.json")) == CONFIG
    assert [archive.read(name) for name in ("root-ca.pem", "device.crt", "device.key")] == [b"CA", b"CRT", b"KEY"]
    assert archive.read("iot_config.h") == b"#define X"
    names = set(archive.namelist())
    assert {"__main__.py", "README.txt", "simulators/mqtt.py", "paho/mqtt/client.py", "paho_mqtt-licenses/edl-v10"} <= names
    assert not [name for name in names if "tests" in name or name.endswith(".pyc")]
    assert len(names) == len(archive.namelist())


def test_the_key_is_readable_by_its_owner_only() -> None:
    assert build().getinfo("device.key").external_attr >> 16 == 0o100600


def test_the_same_device_gives_the_same_bytes() -> None:
    assert build_device_zip(CONFIG, b"CA", b"CRT", b"KEY", {}) == build_device_zip(CONFIG, b"CA", b"CRT", b"KEY", {})


def test_the_readme_tells_the_command_for_every_system() -> None:
    text = build().read("README.txt").decode()
    assert "python3 greenhouse-pump.zip" in text
    assert "py greenhouse-pump.zip" in text
    assert "KEY IS MISSING" not in text


def test_without_a_key_the_readme_says_where_to_put_it() -> None:
    archive = build(key=None)
    assert "device.key" not in archive.namelist()
    assert "--key PATH/TO/YOUR.key" in archive.read("README.txt").decode()


@pytest.mark.parametrize("name", ["../x", "a/b", "__main__.py", "device.key", "config.json", "simulators", "", ".hidden"])
def test_it_refuses_extra_files_that_would_harm_it(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be added"):
        build(**{name: b""})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Greenhouse pump", "greenhouse-pump.zip"),
        ("../../etc", "etc.zip"),
        ("温室", "aaaaaaaa.zip"),
        ("x" * 99, "x" * 40 + ".zip"),
    ],
)
def test_its_file_name_is_safe(name: str, expected: str) -> None:
    assert zip_filename(name, "a" * 32) == expected


def test_it_runs_where_paho_is_not_installed(tmp_path: Path) -> None:
    path = tmp_path / "pump.zip"
    path.write_bytes(build_device_zip(CONFIG, b"CA", b"CRT", b"KEY", {}))
    shown = run(str(path), "--help")
    assert shown.returncode == 0, shown.stderr
    assert "usage: pump.zip" in shown.stdout


def test_it_also_runs_from_the_folder_it_was_unpacked_to(tmp_path: Path) -> None:
    build().extractall(tmp_path / "pump")
    assert run(str(tmp_path / "pump"), "--help").returncode == 0


def test_a_zip_without_a_key_says_so_when_run(tmp_path: Path) -> None:
    authority = Authority()
    path = tmp_path / "pump.zip"
    path.write_bytes(build_device_zip(CONFIG, authority.root, authority.device("a" * 32).certificate, None, {}))
    shown = run(str(path))
    assert shown.returncode == 2
    assert "--key FILE" in shown.stderr


def test_a_second_zip_is_made_quickly() -> None:
    build()
    fastest = min(_seconds() for _ in range(5))
    assert fastest < 0.030


def _seconds() -> float:
    began = time.perf_counter()
    build_device_zip(CONFIG, b"CA" * 500, b"CRT" * 500, b"KEY" * 100, {})
    return time.perf_counter() - began
