import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from accounts.models import User
from accounts.services import personal_account
from devices import pki, services
from devices.demo import NoDemo, set_up_demo
from devices.models import Device
from devices.tests.factories import at_once, make_device, make_user
from simulators.settings import Overrides, load_fleet

FOLDERS = {"greenhouse-pump", "workshop-bench", "door-buzzer"}


@pytest.fixture
def start(db: None, own_pki: Path, tmp_path: Path) -> Callable[[], set[str]]:
    """Return what `make run` does at each start; it returns the names of the folders to simulate."""
    return lambda: {path.name for path in set_up_demo(password="demo-portal", directory=tmp_path / "simulators").folders}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def demo_device(name: str) -> Device:
    return Device.objects.live().get(name=name)


def test_the_first_start_makes_a_user_who_can_sign_in_and_three_devices(start: Callable[[], set[str]]) -> None:
    assert start() == FOLDERS
    user = User.objects.get(username="demo")
    assert user.check_password("demo-portal")
    assert EmailAddress.objects.get(user=user).verified
    devices = personal_account(user).devices.all()
    assert {device.name: device.profile for device in devices} == {
        "Greenhouse pump": "standard", "Workshop bench": "modern", "Door buzzer": "ft900",
    }  # fmt: skip
    assert all(device.pins.exclude(name="").exists() for device in devices)


def test_on_rabbitmq_one_device_more_speaks_amqp(start: Callable[[], set[str]], tmp_path: Path, settings: Settings) -> None:
    settings.BROKER, settings.AMQP_DEVICES = "rabbitmq", True
    assert start() == start() == {*FOLDERS, "cold-store"}
    assert len(load_fleet(tmp_path / "simulators", Overrides(), tmp_path)) == len(FOLDERS)
    (alone,) = load_fleet(tmp_path / "simulators-amqp", Overrides(), tmp_path)
    assert alone.device_id == demo_device("Cold store").hex
    services.delete_device(device=demo_device("Cold store"))
    assert start() == FOLDERS
    assert not list((tmp_path / "simulators-amqp").iterdir())


def test_the_simulators_find_what_they_need_and_nobody_else_can_read_it(start: Callable[[], set[str]], tmp_path: Path) -> None:
    start()
    fleet = load_fleet(tmp_path / "simulators", Overrides(), tmp_path)
    assert {one.device_id for one in fleet} == {device.hex for device in Device.objects.all()}
    for path in (tmp_path / "simulators", *(tmp_path / "simulators").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_second_start_changes_nothing(start: Callable[[], set[str]], tmp_path: Path) -> None:
    start()
    before, written = contents(tmp_path), {path: path.stat().st_mtime_ns for path in (tmp_path / "simulators").rglob("*")}
    assert start() == FOLDERS
    assert contents(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "simulators").rglob("*")} == written
    assert Device.objects.count() == 3


def test_a_device_that_the_demo_user_deleted_stays_deleted(start: Callable[[], set[str]], tmp_path: Path) -> None:
    start()
    services.delete_device(device=demo_device("Door buzzer"))
    assert start() == FOLDERS - {"door-buzzer"}
    assert not (tmp_path / "simulators" / "door-buzzer").exists()
    assert Device.objects.live().count() == 2


def test_a_board_of_the_same_name_is_not_simulated(start: Callable[[], set[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    account = personal_account(User.objects.get(username="demo"))
    services.delete_device(device=demo_device("Door buzzer"))
    User.objects.update(date_joined="2026-01-01T00:00Z")
    make_device(account, "Door buzzer")
    assert start() == FOLDERS - {"door-buzzer"}


def test_a_renamed_device_keeps_its_folder(start: Callable[[], set[str]], tmp_path: Path) -> None:
    start()
    services.rename_device(device=demo_device("Door buzzer"), name="Bell")
    assert start() == FOLDERS
    config = json.loads((tmp_path / "simulators" / "door-buzzer" / "config.json").read_text())
    assert config["name"] == "Bell"


def test_another_address_is_written_to_every_folder(start: Callable[[], set[str]], settings: Settings, tmp_path: Path) -> None:
    start()
    settings.DEVICE_HOST, settings.DEVICE_PORT = "192.168.1.5", 18883
    assert start() == FOLDERS
    fleet = load_fleet(tmp_path / "simulators", Overrides(), tmp_path)
    assert {(one.host, one.port) for one in fleet} == {("192.168.1.5", 18883)}


def test_lost_folders_are_written_again(start: Callable[[], set[str]], tmp_path: Path) -> None:
    start()
    before = contents(tmp_path / "simulators")
    shutil.rmtree(tmp_path / "simulators")
    assert start() == FOLDERS
    assert contents(tmp_path / "simulators") == before


def test_a_new_authority_gives_the_devices_new_certificates(start: Callable[[], set[str]], own_pki: Path, tmp_path: Path) -> None:
    start()
    shutil.rmtree(own_pki)
    pki.set_up([])
    assert start() == FOLDERS
    for folder in (tmp_path / "simulators").iterdir():
        assert pki.is_usable((folder / "device.crt").read_bytes())
        assert (folder / "root-ca.pem").read_bytes() == pki.authority().root_pem
    before = contents(tmp_path / "simulators")
    assert start() == FOLDERS
    assert contents(tmp_path / "simulators") == before


def test_another_seal_key_gives_the_devices_new_keys(start: Callable[[], set[str]], settings: Settings) -> None:
    start()
    settings.SEAL_KEY = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
    assert start() == FOLDERS
    assert all(services.device_files(device).private_key for device in Device.objects.all())


def test_a_forgotten_key_is_used_as_long_as_the_simulator_has_it(start: Callable[[], set[str]], tmp_path: Path) -> None:
    start()
    services.forget_key(device=demo_device("Door buzzer"))
    assert start() == FOLDERS
    (tmp_path / "simulators" / "door-buzzer" / "device.key").unlink()
    assert start() == FOLDERS - {"door-buzzer"}


def test_folders_of_others_are_left_alone(start: Callable[[], set[str]], tmp_path: Path) -> None:
    foreign = tmp_path / "simulators" / "mine"
    foreign.mkdir(parents=True)
    (foreign / "config.json").write_text('{"device_id": "' + "0" * 32 + '"}')
    (tmp_path / "simulators" / "odd").mkdir()
    (tmp_path / "simulators" / "odd" / "config.json").write_text("[]")
    assert start() == FOLDERS
    assert foreign.exists()


@pytest.mark.parametrize("taken", ["username", "email"])
def test_a_person_with_the_demos_name_or_address_is_left_alone(start: Callable[[], set[str]], taken: str) -> None:
    user = make_user("demo" if taken == "username" else "dora")
    if taken == "email":
        User.objects.filter(pk=user.pk).update(email="demo@example.com")
    with pytest.raises(NoDemo):
        start()
    assert not Device.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_starts_at_once_make_one_demo(own_pki: Path, tmp_path: Path) -> None:
    def start() -> bool:
        return set_up_demo(password="demo-portal", directory=tmp_path / "simulators").created

    assert sorted(map(str, at_once(start, start, start))) == ["False", "False", "True"]
    assert Device.objects.count() == 3


def test_the_command_takes_the_password_from_the_settings(db: None, own_pki: Path, settings: Settings, tmp_path: Path) -> None:
    settings.STATE_DIR, settings.DEMO_PASSWORD = tmp_path, "another-one"
    call_command("setup_demo", verbosity=0)
    assert User.objects.get().check_password("another-one")
    assert (tmp_path / "simulators" / "door-buzzer" / "config.json").exists()


def test_a_public_portal_gets_no_demo_with_the_well_known_password(db: None, own_pki: Path, settings: Settings) -> None:
    settings.HTTPS = True
    with pytest.raises(CommandError, match="PORTAL_DEMO_PASSWORD"):
        call_command("setup_demo")
    assert not User.objects.exists()


def test_the_well_known_password_gives_way_to_another_but_a_persons_own_stays(db: None, own_pki: Path, tmp_path: Path) -> None:
    set_up_demo(password="demo-portal", directory=tmp_path)
    set_up_demo(password="only-on-this-desk", directory=tmp_path)
    user = User.objects.get()
    assert user.check_password("only-on-this-desk")
    user.set_password("chosen by a person")
    user.save()
    set_up_demo(password="only-on-this-desk", directory=tmp_path)
    assert User.objects.get().check_password("chosen by a person")
