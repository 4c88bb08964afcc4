"""Emulators on the real broker, Valkey and PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, User
from devices.downloads import NOT_KEPT, KeyUnavailable
from devices.models import Device
from devices.services import delete_device
from devices.tests.factories import make_account, make_device
from messaging.authorization import Identity, Refusal, identify
from messaging.broker.server import Broker
from messaging.broker.tls import server_context
from messaging.emulators import orders
from messaging.emulators.keeper import Keeper, why_not
from messaging.models import Emulator
from messaging.services.emulators import drive_pin, press_reset, start_emulator, stop_emulator, turn_faults, type_line
from simulators.settings import SettingsError

pytestmark = pytest.mark.django_db(transaction=True)
T = TypeVar("T")

DEADLINE_S = 10.0
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture
def device(transactional_db: None, pki: Path, clean_valkey: None) -> Device:
    return make_device(make_account("alice"), profile="modern")


async def within(condition: Callable[[], Any], what: str) -> Any:
    """Wait for what the database knows."""
    end = asyncio.get_running_loop().time() + DEADLINE_S
    while not (found := await in_thread(condition)):
        assert asyncio.get_running_loop().time() < end, what
        await asyncio.sleep(0.02)
    return found


async def in_thread(call: Callable[..., T], **arguments: Any) -> T:
    result: T = await database_sync_to_async(call)(**arguments)
    return result


@contextlib.asynccontextmanager
async def broker_running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broker]:
    async def admit(common_name: str, fingerprint: str, client_id: str) -> Identity | Refusal:
        return identify(common_name, client_id)

    folder = Path(settings.PKI_DIR)
    tls = server_context(folder / "server.pem", folder / "server.key", [folder / "clients-ca.pem"])
    broker = Broker(tls=tls, admit=admit, port=0)
    await broker.start()
    monkeypatch.setattr(settings, "MQTT_PORT", broker.port)
    monkeypatch.setattr(settings, "MQTT_HOST", "localhost")
    yield broker
    await broker.stop()


@contextlib.asynccontextmanager
async def keeping(idle: timedelta = HALF_AN_HOUR) -> AsyncIterator[Keeper]:
    stop, keeper = asyncio.Event(), Keeper(settings.VALKEY_URL, idle)
    running = asyncio.create_task(keeper.run(stop))
    await asyncio.wait_for(keeper.in_office.wait(), DEADLINE_S)
    try:
        yield keeper
    finally:
        stop.set()
        await asyncio.wait_for(running, DEADLINE_S)


def is_running() -> Emulator | None:
    return Emulator.objects.filter(state="running").first()


def uart() -> list[str]:
    lines: list[str] = Emulator.objects.get().board["uart"]
    return lines


async def test_it_connects_obeys_its_person_and_goes_on_in_the_next_process(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await in_thread(device.account.members.get)
    async with broker_running(monkeypatch) as broker:
        async with keeping():
            emulator = await in_thread(start_emulator, user=user, device=device)
            await within(is_running, "it connects")
            assert device.hex in broker.sessions
            await in_thread(type_line, emulator=emulator, line="iot gpio 9 enable dir in pull up edge falling")
            assert await in_thread(uart) == ["> iot gpio 9 enable dir in pull up edge falling", "OK"]
            await in_thread(drive_pin, emulator=emulator, number=5, level=1)
            await in_thread(type_line, emulator=emulator, line="iot gpio 12 write 1")
            with pytest.raises(orders.Refused, match="Pin 12 is an output"):
                await in_thread(drive_pin, emulator=emulator, number=12, level=0)
            await in_thread(turn_faults, emulator=emulator, faults={"loss": 0.5, "rtc_drift_s_per_h": 5})
            await in_thread(press_reset, emulator=emulator)
            with pytest.raises(orders.Refused, match="nothing to reset"):
                await in_thread(press_reset, emulator=emulator)
            await within(is_running, "it comes back")
            assert (await in_thread(Emulator.objects.get)).board["pins"] == {}, "a reset forgets the pins"
            await in_thread(drive_pin, emulator=emulator, number=5, level=1)
            await in_thread(type_line, emulator=emulator, line="iot gpio 12 write 1")
        with pytest.raises(orders.Away):
            await in_thread(type_line, emulator=emulator, line="iot send")
        async with keeping():
            await in_thread(type_line_when_there, emulator=emulator)
            kept = (await in_thread(Emulator.objects.get)).board
            assert (kept["pins"]["5"]["level"], kept["pins"]["12"]["direction"], len(kept["uart"])) == (1, "out", 4)
            await in_thread(stop_emulator, emulator=emulator)
            await within(lambda: device.hex not in broker.sessions, "it disconnects")


def shown(user: User, device: Device) -> str:
    client = Client()
    client.force_login(user)
    return client.get(f"/devices/{device.hex}/emulator/").content.decode()


def type_line_when_there(emulator: Emulator) -> None:
    """Type once the new process has the emulator."""
    for _ in range(500):
        with contextlib.suppress(orders.Refused, orders.Away):
            return type_line(emulator=emulator, line="iot gpio 12 write 1")
    raise AssertionError("it does not come")


async def test_a_board_that_cannot_be_made_again_stops_nobody_elses_and_its_page_says_so(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await in_thread(device.account.members.get)
    other = await in_thread(lambda: make_device(make_account("bob"), "Gate"))
    bob = await in_thread(other.account.members.get)
    async with broker_running(monkeypatch), keeping():
        emulator = await in_thread(start_emulator, user=bob, device=other)
        await within(is_running, "it connects")
        await in_thread(lambda: make_broken(user, device))
        await in_thread(orders.nudge)
        await within(lambda: not Emulator.objects.filter(device=device).exists(), "the broken one is forgotten")
        await in_thread(type_line, emulator=emulator, line="iot gpio 12 write 1")
        assert "Start it anew, with an empty board." in await in_thread(shown, user=user, device=device)
        anew = await in_thread(start_emulator, user=user, device=device)
        await within(lambda: Emulator.objects.filter(device=device, state="running").exists(), "it runs")
        await in_thread(stop_emulator, emulator=anew)
        assert "Start it anew" not in await in_thread(shown, user=user, device=device)


def test_why_an_emulator_cannot_start_says_what_to_do() -> None:
    assert "does not keep this device's private key. Renew" in why_not(KeyUnavailable(NOT_KEPT))
    assert "/srv" not in why_not(SettingsError("/srv/abc/config.json: no port"))


def make_broken(user: User, device: Device) -> None:
    now = timezone.now()
    Emulator.objects.create(user=user, device=device, started_at=now, used_at=now, board={"pins": {"5": {"of_old": 1}}})


@pytest.mark.parametrize("why", ["idle", "deleted", "no member any more"])
async def test_it_stops_when(why: str, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    user = await in_thread(device.account.members.get)
    async with broker_running(monkeypatch) as broker, keeping(timedelta(0) if why == "idle" else HALF_AN_HOUR):
        await in_thread(start_emulator, user=user, device=device)
        if why != "idle":
            await within(is_running, "it connects")
        if why == "deleted":
            await in_thread(delete_device, device=device)
        elif why == "no member any more":
            await in_thread(lambda: Membership.objects.filter(user=user).delete())
        await in_thread(orders.nudge)
        await within(lambda: not Emulator.objects.exists(), "it is forgotten")
        await within(lambda: device.hex not in broker.sessions, "it disconnects")


async def test_a_second_process_waits_for_the_first_to_go(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messaging.emulators.keeper.OFFICE_S", 0.05)
    stop, second = asyncio.Event(), Keeper(settings.VALKEY_URL, HALF_AN_HOUR)
    async with broker_running(monkeypatch):
        async with keeping():
            waiting = asyncio.create_task(second.run(stop))
            await asyncio.sleep(0)
            await in_thread(orders.nudge)
            assert not second.in_office.is_set()
        await asyncio.wait_for(second.in_office.wait(), DEADLINE_S)
        stop.set()
        await asyncio.wait_for(waiting, DEADLINE_S)
