import base64
import io
import secrets
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import Account
from devices import services
from devices.config_header import HeaderValues, c_string, config_header
from devices.downloads import DeviceFiles, File, KeyUnavailable, device_files, device_zip, download, slug
from devices.models import Device
from devices.tests.factories import make_device
from simulators.settings import Overrides, load

WITH_KEY = [File.PRIVATE_KEY, File.HEADER]


def test_the_files_are_called_after_the_device(account: Account) -> None:
    device = make_device(account, "Greenhouse pump №1 / north")
    names = [download(device, file).filename for file in File]
    base = "greenhouse-pump-1-north"
    assert names == ["root-ca.pem", f"{base}.crt", f"{base}.key", f"{base}.zip", "iot_config.h"]


@pytest.mark.parametrize("name", ["水泵", "../../etc/passwd", '"; rm -rf', "CON"])
def test_no_name_makes_a_file_name_that_does_harm(account: Account, name: str) -> None:
    device = make_device(account, name)
    assert set(slug(device)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slug(device)


def test_the_zip_is_what_the_simulator_takes(account: Account, settings: Settings, tmp_path: Path) -> None:
    settings.DEVICE_HOST, settings.DEVICE_PORT = "broker.example.org", 18883
    device = make_device(account, "Pump", "ft900")
    archive = tmp_path / "pump.zip"
    archive.write_bytes(device_zip(device))
    (tmp_path / "scratch").mkdir()
    found = load(archive, Overrides(), tmp_path / "scratch")
    assert (found.device_id, found.name, found.profile.slug) == (device.hex, "Pump", "ft900")
    assert (found.host, found.port) == ("broker.example.org", 18883)
    files = device_files(device)
    assert DeviceFiles(found.ca.read_bytes(), found.certificate.read_bytes(), found.key.read_bytes()) == files
    assert "iot_config.h" in zipfile.ZipFile(archive).namelist()


def test_what_has_the_key_in_it_is_not_to_be_had_once_it_was_forgotten(account: Account) -> None:
    device = make_device(account)
    services.forget_key(device=device)
    for file in WITH_KEY:
        with pytest.raises(KeyUnavailable, match="does not keep"):
            download(device, file)
    assert download(device, File.CERTIFICATE).content.startswith(b"-----BEGIN CERTIFICATE")
    names = zipfile.ZipFile(io.BytesIO(download(device, File.ZIP).content)).namelist()
    assert not {"device.key", "iot_config.h"} & set(names)


def test_a_changed_seal_key_is_told_as_the_operators_problem(
    account: Account, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    device = make_device(account)
    settings.SEAL_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
    for file in [*WITH_KEY, File.ZIP]:
        with pytest.raises(KeyUnavailable, match="cannot open"):
            download(device, file)
    assert "another PORTAL_SEAL_KEY" in caplog.text
    assert settings.SEAL_KEY not in caplog.text
    download(device, File.ROOT_CA)
    download(device, File.CERTIFICATE)


def test_a_seal_moved_to_another_devices_row_does_not_open(account: Account) -> None:
    mine, other = make_device(account, "Mine"), make_device(account, "Other")
    mine.certificates.update(sealed_key=other.certificates.get().sealed_key)
    with pytest.raises(KeyUnavailable):
        download(mine, File.PRIVATE_KEY)


def test_a_deleted_device_has_nothing_to_give_but_the_root(account: Account) -> None:
    device = make_device(account)
    services.delete_device(device=device)
    for file in set(File) - {File.ROOT_CA}:
        with pytest.raises(KeyUnavailable):
            download(device, file)


# --- iot_config.h ------------------------------------------------------------------------------------------------------------

NASTY = ["Pump", 'a"b\\c', "*/ #include </etc/passwd> /*", "what??/", "1\\n2", "Küche 5f", "水泵", "%s %n", "\\", "a\\\n"]


def compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("no C compiler here")
    return found


@pytest.mark.parametrize("algorithm", ["ec", "rsa"])
def test_the_header_compiles_without_a_warning(account: Account, tmp_path: Path, algorithm: str) -> None:
    made = services.register_device(account=account, name='Pump "1" */ \\', key_algorithm=algorithm)
    (tmp_path / "iot_config.h").write_bytes(download(made.device, File.HEADER).content)
    (tmp_path / "x.c").write_text('#include "iot_config.h"\n#include "iot_config.h"\nint main(void) { return IOT_PORT == 0; }\n')
    for standard in ("c99", "c11"):
        command = [
            compiler(),
            "-fsyntax-only",
            f"-std={standard}",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-trigraphs",
            "x.c",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_a_program_reads_from_the_header_what_the_portal_wrote(account: Account, tmp_path: Path) -> None:
    files = device_files(make_device(account))
    assert files.private_key is not None
    values = HeaderValues(
        "0" * 32, "\n".join(NASTY), "standard", "localhost", 8883, files.root_ca, files.certificate, files.private_key
    )
    (tmp_path / "iot_config.h").write_text(config_header(values), "ascii")
    (tmp_path / "x.c").write_text(
        '#include <stdio.h>\n#include "iot_config.h"\n'
        'int main(void) { printf("%s%d%s%s%s", IOT_DEVICE_NAME, IOT_PORT, iot_root_ca, iot_certificate, iot_private_key);'
        " return sizeof iot_root_ca < 2; }\n"
    )
    subprocess.run([compiler(), "-std=c99", "-trigraphs", "-o", "x", "x.c"], cwd=tmp_path, check=True, timeout=60)
    said = subprocess.run([tmp_path / "x"], check=True, capture_output=True, timeout=10).stdout
    assert said == values.name.encode() + b"8883" + files.root_ca + files.certificate + files.private_key


def test_no_name_ends_its_literal() -> None:
    for name in NASTY:
        literal = c_string(name)
        assert literal.isascii()
        assert "\n" not in literal
        assert literal.count('"') == 2


def test_the_header_of_a_live_device_is_ascii(account: Account) -> None:
    device: Device = make_device(account, "水泵")
    assert download(device, File.HEADER).content.isascii()
