"""Devices on the real broker over mutual TLS, asked by a real client."""

import asyncio
import io
import json
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulators.bundle import build_device_zip
from simulators.console import Console
from simulators.device import Setup
from simulators.faults import Faults
from simulators.link import LinkOptions
from simulators.mqtt import EXIT_REFUSED, Fleet, Options
from simulators.tests.pki import DAY, Authority
from simulators.tests.portal import DEADLINE_S, Caller, Portal

PUMP, LAMP = "a" * 32, "b" * 32
ONLINE, OFFLINE = (f"{PUMP}/presence", b'{"value": "online"}'), (f"{PUMP}/presence", b'{"value": "offline"}')


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Portal]:
    running = Portal(tmp_path)
    await running.start()
    yield running
    await running.broker.stop()


async def listening(fleet: Fleet) -> None:
    await asyncio.wait_for(fleet.all_listening.wait(), DEADLINE_S)


async def test_it_answers_each_command_over_mutual_tls(portal: Portal) -> None:
    async with portal.caller(PUMP) as caller, portal.fleet(portal.device_folder(PUMP)) as fleet:
        await listening(fleet)
        assert await caller.ask(PUMP, "get_status") == b'{"value": "running"}'
        assert await caller.ask(PUMP, "set_gpio", b'{"number": 10, "value": 1}') == b'{"number": 10, "value": 1}'
        assert await caller.ask(PUMP, "get_gpio", b'{"number": 10}') == b'{"number": 10, "value": 1}'


async def test_its_socket_does_not_wait_for_delayed_acknowledgements(portal: Portal) -> None:
    async with portal.fleet(portal.device_folder(PUMP)) as fleet:
        await listening(fleet)
        sock: Any = fleet.links[0]._client.socket()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.version() in ("TLSv1.2", "TLSv1.3")


async def test_it_speaks_mqtt_31_when_asked_to(portal: Portal) -> None:
    options = Options(link=LinkOptions(mqtt31=True))
    async with portal.watcher() as watcher, portal.fleet(portal.device_folder(PUMP), options=options):
        assert (await watcher.event("connected"))["protocol"] == "MQTT 3.1"


async def test_a_modern_device_tells_when_it_comes_and_when_it_goes(portal: Portal) -> None:
    async with portal.caller(PUMP) as caller, portal.watcher() as watcher:
        async with portal.fleet(portal.device_folder(PUMP, profile="modern")):
            assert await caller.hear() == ONLINE
        assert await caller.hear() == OFFLINE
        assert (await watcher.event("disconnected"))["reason"] == "goodbye"


async def test_the_last_will_speaks_for_a_modern_device_that_is_cut_off(portal: Portal) -> None:
    async with portal.caller(PUMP) as caller, portal.fleet(portal.device_folder(PUMP, profile="modern")):
        assert await caller.hear() == ONLINE
        portal.broker.disconnect(PUMP)
        assert await caller.hear() == OFFLINE
        assert await caller.hear() == ONLINE


async def test_one_that_loses_power_goes_without_a_word_and_comes_back(portal: Portal) -> None:
    options = Options(link=LinkOptions(reboot_s=0.05), faults=Faults(reboot=1))
    folder = portal.device_folder(PUMP, profile="modern")
    async with portal.caller(PUMP) as caller, portal.fleet(folder, options=options):
        assert await caller.hear() == ONLINE
        caller.send(PUMP, "get_status")
        assert [await caller.hear(), await caller.hear()] == [OFFLINE, ONLINE]


async def test_it_answers_a_restart_goes_away_and_comes_back_as_new(portal: Portal) -> None:
    options = Options(link=LinkOptions(reboot_s=0.05))
    async with (
        portal.caller(PUMP) as caller,
        portal.watcher() as watcher,
        portal.fleet(portal.device_folder(PUMP), options=options) as fleet,
    ):
        await listening(fleet)
        await caller.ask(PUMP, "set_gpio", b'{"number": 10, "value": 1}')
        assert await caller.ask(PUMP, "set_status", b'{"value": "restart"}') == b'{"value": "restarting"}'
        assert (await watcher.event("disconnected"))["reason"] == "goodbye"
        assert (await watcher.event("connected"))["protocol"] == "MQTT 3.1.1"
        await asyncio.wait_for(fleet.links[0].listening.wait(), DEADLINE_S)
        assert await caller.ask(PUMP, "get_gpio", b'{"number": 10}') == b'{"number": 10, "value": 0}'


async def test_the_smallest_firmware_is_deaf_after_each_answer(portal: Portal) -> None:
    options = Options(link=LinkOptions(deaf_s=0.2))
    folder = portal.device_folder(PUMP, profile="ft900")
    async with portal.caller(PUMP) as caller, portal.fleet(folder, options=options) as fleet:
        await listening(fleet)
        await caller.ask(PUMP, "get_status")
        assert portal.broker.sessions[PUMP].subscriptions == {}
        caller.send(PUMP, "get_gpio", b'{"number": 3}')
        await asyncio.wait_for(fleet.links[0].listening.wait(), DEADLINE_S)
        assert portal.broker.sessions[PUMP].subscriptions == {f"{PUMP}/#": 1}
        # Had the first question reached it, its answer would come before this one.
        assert await caller.ask(PUMP, "get_mac") != b""


async def test_the_smallest_firmware_loses_nothing_that_waits_for_it(portal: Portal) -> None:
    options = Options(link=LinkOptions(deaf_s=0.0))
    folder = portal.device_folder(PUMP, profile="ft900")
    async with portal.caller(PUMP) as caller, portal.fleet(folder, options=options) as fleet:
        for number in range(50):
            await asyncio.wait_for(fleet.links[0].listening.wait(), DEADLINE_S)
            assert await caller.ask(PUMP, "get_gpio", b'{"number": %d}' % number) == b'{"number": %d, "value": 0}' % number
        assert fleet.shared.counts.missed == 0


async def test_a_silent_command_leaves_the_smallest_firmware_listening(portal: Portal) -> None:
    options = Options(link=LinkOptions(deaf_s=0.0))
    folder = portal.device_folder(PUMP, profile="ft900")
    async with portal.caller(PUMP) as caller, portal.fleet(folder, options=options) as fleet:
        await listening(fleet)
        link = fleet.links[0]
        caller.send(PUMP, "dance")
        await until(lambda: fleet.shared.counts.commands == 1)
        await asyncio.wait_for(link.listening.wait(), DEADLINE_S)
        assert await caller.ask(PUMP, "get_status") == b'{"value": "running"}'


async def test_faults_happen_on_the_wire(portal: Portal) -> None:
    options = Options(faults=Faults(duplicate=1, delay_ms=5))
    async with portal.caller(PUMP) as caller, portal.fleet(portal.device_folder(PUMP), options=options) as fleet:
        await listening(fleet)
        assert await caller.ask(PUMP, "get_status") == b'{"value": "running"}'
        assert await caller.hear() == (f"{PUMP}/get_status", b'{"value": "running"}')


async def test_what_it_raises_by_itself_reaches_the_portal(portal: Portal) -> None:
    options = Options(setup=Setup(recipient="a@b.example", message="hot"))
    async with portal.caller(PUMP) as caller, portal.fleet(portal.device_folder(PUMP), options=options) as fleet:
        await listening(fleet)
        fleet.type_line("iot gpio 7 enable dir in pull none edge rising")
        fleet.type_line("pin 7 1")
        assert await caller.hear() == (f"{PUMP}/trigger_notification", b'{"recipient": "a@b.example", "message": "hot"}')
        fleet.type_line(f'@{PUMP} iot send message "cold"')
        assert (await caller.hear())[1] == b'{"recipient": "a@b.example", "message": "cold"}'


async def test_many_devices_share_one_thread_and_keep_to_themselves(portal: Portal) -> None:
    ids = [f"{number:032x}" for number in range(40)]
    folders = [portal.device_folder(device_id) for device_id in ids]
    before = set(threading.enumerate())  # other tests of this process may have left some
    async with portal.caller(*ids) as caller, portal.fleet(*folders) as fleet:
        await listening(fleet)
        # The caller's, and at most a few of the resolver's, which do not grow with the devices.
        assert len(set(threading.enumerate()) - before) < 10
        for number, device_id in enumerate(ids):
            caller.send(device_id, "get_gpio", b'{"number": %d}' % number)
        heard = {await caller.hear() for _ in ids}
        assert heard == {(f"{found}/get_gpio", b'{"number": %d, "value": 0}' % number) for number, found in enumerate(ids)}


async def test_it_comes_back_after_the_broker_was_away(portal: Portal) -> None:
    async with portal.fleet(portal.device_folder(PUMP)) as fleet:
        await listening(fleet)
        await portal.broker.stop()
        await until(lambda: not fleet.links[0].listening.is_set())
        await portal.start()
        await asyncio.wait_for(fleet.links[0].listening.wait(), DEADLINE_S)


# -- refused -------------------------------------------------------------------------------------


async def refusal(portal: Portal, folder: Path) -> str:
    """Return what a device says when it is not let in; it must end by itself with the exit code for that."""
    said = io.StringIO()
    async with portal.fleet(folder, options=Options(once_refused_exit=True), console=Console(quiet=True, err=said)) as fleet:
        await until(lambda: fleet.exit_code == EXIT_REFUSED)
    return said.getvalue()


async def test_a_revoked_device_is_told_so(portal: Portal) -> None:
    portal.banned.add(PUMP)
    assert "revoked or deleted" in await refusal(portal, portal.device_folder(PUMP))


async def test_a_device_revoked_while_connected_is_told_so(portal: Portal) -> None:
    said = io.StringIO()
    console = Console(quiet=True, err=said)
    async with portal.fleet(portal.device_folder(PUMP), options=Options(once_refused_exit=True), console=console) as fleet:
        await listening(fleet)
        portal.banned.add(PUMP)
        portal.broker.disconnect(PUMP)
        await until(lambda: fleet.exit_code == EXIT_REFUSED)
    assert "revoked or deleted" in said.getvalue()


async def test_a_refused_device_goes_on_trying_unless_told_otherwise(portal: Portal) -> None:
    portal.banned.add(PUMP)
    async with portal.fleet(portal.device_folder(PUMP)) as fleet:
        await until(lambda: fleet.links[0].refusal is not None)
        portal.banned.clear()
        await listening(fleet)
        assert fleet.links[0].refusal is None


async def test_a_certificate_of_another_portal_is_named(portal: Portal) -> None:
    folder = portal.device_folder(PUMP, authority=Authority("Another root"))
    assert "does not know who signed this device's certificate" in await refusal(portal, folder)


async def test_a_root_of_another_portal_is_named(portal: Portal) -> None:
    folder = portal.device_folder(PUMP)
    (folder / "root-ca.pem").write_bytes(Authority("Another root").root)
    assert "not signed by this root-ca.pem" in await refusal(portal, folder)


async def test_a_certificate_of_another_device_is_refused(portal: Portal) -> None:
    folder = portal.device_folder(PUMP)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "device_id": LAMP}))
    assert "the broker" in await refusal(portal, folder)


async def test_a_broker_with_another_name_is_not_trusted(portal: Portal) -> None:
    await portal.broker.stop()
    await portal.start(portal.authority.broker(host="elsewhere.example"))
    assert "not made for the name localhost" in await refusal(portal, portal.device_folder(PUMP))


@pytest.mark.parametrize(("begins", "ends", "words"), [(-2, -1, "has expired"), (1, 2, "is not valid yet")])
async def test_a_wrong_clock_is_suspected(portal: Portal, begins: int, ends: int, words: str) -> None:
    await portal.broker.stop()
    await portal.start(portal.authority.broker(begins=begins * DAY, ends=ends * DAY))
    said = await refusal(portal, portal.device_folder(PUMP))
    assert words in said
    assert "This computer's clock says" in said


async def test_a_port_that_speaks_no_tls_is_named(portal: Portal) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(web, "localhost")
    portal.port, broker_port = server.sockets[0].getsockname()[1], portal.port
    folder = portal.device_folder(PUMP, host=server.sockets[0].getsockname()[0])
    portal.port = broker_port
    assert "does not speak TLS" in await refusal(portal, folder)
    server.close()
    await server.wait_closed()


async def test_a_port_where_nothing_listens_is_named(portal: Portal) -> None:
    folder = portal.device_folder(PUMP)
    await portal.broker.stop()
    assert "nothing listens on localhost port" in await refusal(portal, folder)


# -- the downloaded zip, in a process of its own -------------------------------------------------


async def test_the_downloaded_zip_runs_answers_and_says_goodbye(portal: Portal, tmp_path: Path) -> None:
    issued = portal.authority.device(PUMP)
    config = {"device_id": PUMP, "name": "Green pump", "host": "localhost", "port": portal.port, "profile": "modern"}
    path = tmp_path / "green-pump.zip"
    path.write_bytes(build_device_zip(config, portal.authority.root, issued.certificate, issued.key, {}))
    async with portal.caller(PUMP) as caller, portal.watcher() as watcher:
        # -I -S: neither this checkout nor an installed paho can be imported.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(path), "--console", "--recipient", "a@b.example"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            shown = await _drive(process, caller, watcher)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert "UART hello" in shown
    assert '<- write_uart {"value": "hello"}' in shown


async def _drive(process: asyncio.subprocess.Process, caller: Caller, watcher: Caller) -> str:
    assert process.stdin is not None
    assert await caller.hear() == ONLINE
    assert await caller.ask(PUMP, "write_uart", b'{"value": "hello"}') == b'{"value": "hello"}'
    process.stdin.write(b'iot send message "by hand"\n')
    await process.stdin.drain()
    assert await caller.hear() == (f"{PUMP}/trigger_notification", b'{"recipient": "a@b.example", "message": "by hand"}')
    process.send_signal(signal.SIGTERM)
    shown, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0, shown
    assert await caller.hear() == OFFLINE
    assert (await watcher.event("disconnected"))["reason"] == "goodbye"
    return shown.decode()


async def until(condition: Any) -> None:
    """Wait for what no event tells, with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)
