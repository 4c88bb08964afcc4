"""A backup, restored into an empty stack, is the same portal: devices connect as before."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from django.conf import settings
from django.core.management import CommandError, call_command

from accounts.models import ApiToken
from accounts.services import create_token
from devices.downloads import device_zip
from devices.tests.factories import make_account
from iotportal.embedded.ports import free_port
from iotportal.embedded.stack import listens
from iotportal.embedded.throwaway import ThrowawayServers
from iotportal.locked_file import CHUNK, MAGIC, Locking, Unlocking, Unreadable
from messaging.tests.history import exchange
from tests.api.live import until

PASSPHRASE = "a long walk on the beach"


def manage(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def empty_stack(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start an empty PostgreSQL and Valkey with keys of their own; gives the environment of that portal."""
    with ThrowawayServers() as servers:
        keys = {"PORTAL_SEAL_KEY_FILE": tmp_path / "seal", "PORTAL_SECRET_KEY_FILE": tmp_path / "secret"}
        keys["PORTAL_SEAL_KEY_FILE"].write_text("A" * 43 + "=")
        keys["PORTAL_SECRET_KEY_FILE"].write_text("another portal's key " * 3)
        dropped = ("PORTAL_SEAL_KEY", "PORTAL_SECRET_KEY", "PYTEST_XDIST_WORKER")
        port = str(free_port())
        yield {
            **{name: value for name, value in os.environ.items() if name not in dropped},
            "DJANGO_SETTINGS_MODULE": "iotportal.settings",
            "DATABASE_URL": servers.start_postgres(),
            "VALKEY_URL": servers.start_valkey(),
            "PORTAL_STATE_DIR": str(servers.state.root),
            "PORTAL_PKI_DIR": str(tmp_path / "pki"),
            "PORTAL_BACKUP_PASSPHRASE": PASSPHRASE,
            "PORTAL_DEVICE_PORT": port,
            "MQTT_PORT": port,
            "MQTT_HOST": "localhost",
            **{name: str(path) for name, path in keys.items()},
        }


@contextlib.contextmanager
def running(env: dict[str, str], folder: Path, *commands: list[str]) -> Iterator[None]:
    processes = []
    try:
        for number, words in enumerate(commands):
            with (folder / f"{number}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, *words], cwd=settings.BASE_DIR, env=env, stdout=log, stderr=subprocess.STDOUT
                    )
                )
        yield
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(10)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("clean_valkey")
def test_a_device_connects_to_the_restored_portal_with_its_old_certificate(
    pki: Path, empty_stack: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from devices.services import register_device

    monkeypatch.setattr(settings, "BACKUP_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr(settings, "DEVICE_PORT", int(empty_stack["MQTT_PORT"]))
    account = make_account("alice")
    pump = register_device(account=account, name="Pump").device
    exchange(pump, answer='{"value": 1}')
    token = create_token(user=account.members.get(), name="t", scopes=[ApiToken.Scope.MANAGE])[1]
    (tmp_path / "Pump.zip").write_bytes(device_zip(pump))
    file = tmp_path / "portal.backup"
    call_command("backup", file, verbosity=0)
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" not in file.read_bytes()

    done = manage(empty_stack, "restore", str(file))
    assert done.returncode == 0, done.stderr
    assert "Restored." in done.stdout
    assert (tmp_path / "seal").read_text().strip() == settings.SEAL_KEY
    assert {one.name for one in (tmp_path / "pki").iterdir()} >= {"root-ca.pem", "server.key"}

    web, broker = free_port(), empty_stack["MQTT_PORT"]
    url = f"http://127.0.0.1:{web}/api/v1/devices/{pump.hex}"

    def asked(path: str, wanted: Callable[[requests.Response], bool]) -> requests.Response | None:
        with contextlib.suppress(requests.ConnectionError):
            answer = requests.get(url + path, headers={"Authorization": f"Bearer {token}"}, timeout=20)
            return answer if wanted(answer) else None
        return None

    servers = ["manage.py", "run_broker", "--host", "127.0.0.1", "--port", broker], ["-m", "iotportal.web", "--port", str(web)]
    with running(empty_stack, tmp_path, *servers):
        until(lambda: listens("localhost", int(broker)), "the broker")
        with running(empty_stack, tmp_path, ["-m", "simulators.mqtt", "-q", "--zip", str(tmp_path / "Pump.zip")]):
            until(lambda: asked("/status?timeout=1", lambda answer: answer.status_code == 200), "the pump's answer")


@pytest.mark.django_db(transaction=True)
def test_a_restore_changes_nothing_unless_all_of_it_can_be_read(
    pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "BACKUP_PASSPHRASE", PASSPHRASE)
    make_account("alice")
    file, cut, other = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    call_command("backup", file, verbosity=0)
    cut.write_bytes(file.read_bytes()[:-20])
    other.write_text("nothing of ours")

    def refused(which: Path, why: str, *words: str) -> None:
        with pytest.raises(CommandError, match=why):
            call_command("restore", which, *words, verbosity=0)

    refused(file, "The database is not empty")

    refused(cut, "changed or cut off", "--replace")
    refused(other, "no backup", "--replace")
    refused(tmp_path / "none", "No such file", "--replace")
    monkeypatch.setattr(settings, "BACKUP_PASSPHRASE", "")
    refused(file, "Set PORTAL_BACKUP_PASSPHRASE", "--replace")
    monkeypatch.setattr(settings, "BACKUP_PASSPHRASE", "a guess")
    refused(file, "The passphrase is another one", "--replace")
    monkeypatch.setattr(settings, "BACKUP_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr(settings, "SEAL_KEY", "B" * 43 + "=")
    refused(file, "PORTAL_SEAL_KEY is not that of the backup", "--replace")
    assert not [one for one in Path(settings.STATE_DIR).iterdir() if one.name.startswith(".restore-")]


def test_a_locked_file_comes_back_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for size in (0, CHUNK, CHUNK + 1, 2 * CHUNK):
        text = os.urandom(size)
        with path.open("wb") as file:
            lock = Locking(file, PASSPHRASE)
            lock.write(text)
            lock.close()
        with path.open("rb") as file:
            file.read(len(MAGIC))
            assert Unlocking(file, PASSPHRASE).read(size + 1) == text
    kept = path.read_bytes()
    head, chunk = len(MAGIC) + 16, CHUNK + 16
    first, second = kept[head : head + chunk], kept[head + chunk :]
    for bad in (first, second + first, first + second[:-1], first + first, first + second + b"x"):
        path.write_bytes(kept[:head] + bad)
        with path.open("rb") as file:
            file.read(len(MAGIC))
            reader = Unlocking(file, PASSPHRASE)
            with pytest.raises(Unreadable):
                reader.read(3 * CHUNK)
