"""Where a device's identity comes from."""

import io
import json
import stat
import zipfile
from pathlib import Path

import pytest

from simulators.profiles import FT900, MODERN
from simulators.settings import Overrides, SettingsError, from_files, load, load_fleet
from simulators.tests.pki import write
from simulators.transport import make_context

CONFIG = {"device_id": "a" * 32, "name": "pump", "host": "portal.example", "port": 8883, "profile": "modern"}


def make_zip(path: Path, config: object = CONFIG, *, leave_out: str = "", more: dict[str, bytes] | None = None) -> Path:
    files = {
        "config.json": json.dumps(config).encode(),
        "root-ca.pem": b"CA",
        "device.crt": b"CRT",
        "device.key": b"KEY",
        **(more or {}),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            if name != leave_out:
                archive.writestr(name, content)
    path.write_bytes(buffer.getvalue())
    return path


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir(mode=0o700)
    return folder


def test_it_reads_a_zip_and_unpacks_it_for_this_user_only(tmp_path: Path, scratch: Path) -> None:
    settings = load(make_zip(tmp_path / "pump.zip"), Overrides(), scratch)
    assert (settings.device_id, settings.host, settings.port, settings.profile) == ("a" * 32, "portal.example", 8883, MODERN)
    assert settings.key.read_bytes() == b"KEY"
    assert stat.S_IMODE(settings.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.key.parent.stat().st_mode) == 0o700


def test_it_unpacks_only_the_files_it_knows(tmp_path: Path, scratch: Path) -> None:
    load(make_zip(tmp_path / "pump.zip", more={"../../escape": b"!", "__main__.py": b"!"}), Overrides(), scratch)
    found = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["config.json", "device.crt", "device.key", "pump.zip", "root-ca.pem"]


def test_the_command_line_outweighs_the_config(tmp_path: Path, scratch: Path) -> None:
    key = write(tmp_path, "mine.key", b"MINE")
    zipped = make_zip(tmp_path / "pump.zip", leave_out="device.key")
    settings = load(zipped, Overrides(host="10.0.0.5", port=9, profile=FT900, key=key), scratch)
    assert (settings.host, settings.port, settings.profile, settings.key) == ("10.0.0.5", 9, FT900, key)


def test_a_fleet_is_every_zip_and_folder_with_a_config(tmp_path: Path, scratch: Path) -> None:
    fleet = tmp_path / "fleet"
    (fleet / "empty").mkdir(parents=True)
    make_zip(fleet / "b.zip", {**CONFIG, "device_id": "b" * 32})
    with zipfile.ZipFile(make_zip(tmp_path / "a.zip")) as archive:
        archive.extractall(fleet / "a")
    write(fleet, "notes.txt", b"")
    assert [found.device_id[0] for found in load_fleet(fleet, Overrides(), scratch)] == ["a", "b"]


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ([], "not a JSON object"),
        ({}, "says no device_id"),
        ({**CONFIG, "device_id": "a/b"}, "not a device id"),
        ({**CONFIG, "device_id": "#"}, "not a device id"),
        ({**CONFIG, "port": "x"}, "port must be a number"),
        ({**CONFIG, "port": 70000}, "not an address"),
        ({**CONFIG, "host": ""}, "not an address"),
    ],
)
def test_it_says_what_is_wrong_with_a_config(tmp_path: Path, scratch: Path, config: object, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load(make_zip(tmp_path / "pump.zip", config), Overrides(), scratch)


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        ("config.json", "downloaded from the portal"),
        ("root-ca.pem", "has no root CA"),
        ("device.crt", "has no certificate"),
        ("device.key", "--key FILE"),
    ],
)
def test_it_says_which_file_is_missing(tmp_path: Path, scratch: Path, missing: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load(make_zip(tmp_path / "pump.zip", leave_out=missing), Overrides(), scratch)


def test_it_refuses_what_is_no_download(tmp_path: Path, scratch: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SettingsError, match="does not exist"):
        load(tmp_path / "nothing.zip", Overrides(), scratch)
    with pytest.raises(SettingsError, match="not a zip"):
        load(write(tmp_path, "text.zip", b"hello"), Overrides(), scratch)
    with pytest.raises(SettingsError, match="far too large"):
        load(make_zip(tmp_path / "huge.zip", more={"root-ca.pem": b"x" * 300_000}), Overrides(), scratch)
    with pytest.raises(SettingsError, match="neither"):
        load_fleet(empty, Overrides(), scratch)
    with pytest.raises(SettingsError, match="also needs --ca"):
        from_files("a" * 32, "", Overrides())


def test_files_that_are_no_certificates_are_named(tmp_path: Path, scratch: Path) -> None:
    with pytest.raises(SettingsError, match=r"root-ca\.pem is not a PEM certificate"):
        make_context(load(make_zip(tmp_path / "pump.zip"), Overrides(), scratch))
