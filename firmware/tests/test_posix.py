"""The Linux port on the real broker over mutual TLS, asked by a real client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from firmware.tests.build import make, needs_compiler, needs_mosquitto
from simulators.tests.pki import Authority, write
from simulators.tests.portal import DEADLINE_S, Caller, Portal

pytestmark = [needs_compiler, needs_mosquitto, pytest.mark.xdist_group("firmware")]

PUMP = "a" * 32
PRESENCE, NOTIFICATION = f"{PUMP}/presence", f"{PUMP}/trigger_notification"
ONLINE, OFFLINE = (PRESENCE, b'{"value": "online"}'), (PRESENCE, b'{"value": "offline"}')
HARD_TEXT = rb'{"value": "say \"hi\" \\ {\u00e9} \ud83d\ude00"}'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("posix")
    make(folder, "posix", "PORT_FLAGS=-DIOT_RETRY_FIRST_MS=50 -fsanitize=address,undefined -fno-sanitize-recover=all")
    return folder / "iot-posix"


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Portal]:
    running = Portal(tmp_path)
    await running.start()
    yield running
    await running.broker.stop()


@dataclass
class Board:
    """The device's process and its board's folder."""

    folder: Path
    process: asyncio.subprocess.Process

    async def type(self, line: str) -> str:
        """Type a line on its UART and return the next one that it prints."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        return await self.printed()

    async def printed(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), DEADLINE_S)).decode().rstrip("\n")

    def press(self, pin: int, level: int) -> None:
        (self.folder / "pins" / str(pin)).write_text(f"{level}\n")

    async def told(self, what: str) -> None:
        """Wait until it says so of its connection."""
        assert self.process.stderr is not None
        while what not in (line := await asyncio.wait_for(self.process.stderr.readline(), DEADLINE_S)).decode():
            assert line, f"it ended before it said {what!r}"


@contextlib.asynccontextmanager
async def running(program: Path, folder: Path) -> AsyncIterator[Board]:
    board = folder / "board"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        program, "--folder", str(folder), "--board", str(board), stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        yield Board(board, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        assert b"Sanitizer" not in errors, errors.decode()


async def check_answers(caller: Caller) -> None:
    for api, command, answer in [
        ("get_status", b"{}", b'{"value": "running"}'),
        ("set_gpio", b'{"number": 10, "value": 1}', b'{"number": 10, "value": 1}'),
        ("get_gpio", b'{"number": 10, "id": "0193a0c5"}', b'{"number": 10, "id": "0193a0c5", "value": 1}'),
        ("set_mac", b'{"value": "00:c0:ca:90:61:05"}', b'{"value": "00:c0:ca:90:61:05"}'),
        ("get_mac", b"{}", b'{"value": "00:c0:ca:90:61:05"}'),
        ("get_ip", b"{}", b'{"value": "192.168.100.5"}'),
        ("write_uart", HARD_TEXT, HARD_TEXT),
    ]:
        assert await caller.ask(PUMP, api, command) == answer


@pytest.mark.parametrize("kind", ["ec", "rsa"])
async def test_it_answers_each_command_over_mutual_tls(program: Path, portal: Portal, kind: str) -> None:
    folder = portal.device_folder(PUMP, profile="modern")
    if kind == "rsa":
        issued = portal.authority.device(PUMP, rsa.generate_private_key(public_exponent=65537, key_size=2048))
        write(folder, "device.crt", issued.certificate)
        write(folder, "device.key", issued.key)
    async with portal.caller(PUMP) as caller, running(program, folder) as board:
        assert await caller.hear() == ONLINE
        await check_answers(caller)
        assert await board.printed() == 'say "hi" \\ {é} 😀'
        board.process.terminate()
        assert await caller.hear() == OFFLINE
        assert await board.process.wait() == 0


async def test_a_pressed_button_raises_the_stored_notification_after_a_restart_too(program: Path, portal: Portal) -> None:
    folder = portal.device_folder(PUMP, profile="modern")
    async with portal.caller(PUMP) as caller, running(program, folder) as board:
        assert await caller.hear() == ONLINE
        assert await board.type('iot set message "The door \\"A\\" is open." recipient "ann@example.com"') == "OK"
        await caller.ask(PUMP, "set_gpio", b'{"number": 10, "value": 1}')
        assert await caller.ask(PUMP, "set_status", b'{"value": "restart"}') == b'{"value": "restarting"}'
        assert [await caller.hear(), await caller.hear()] == [OFFLINE, ONLINE]
        assert await caller.ask(PUMP, "get_gpio", b'{"number": 10}') == b'{"number": 10, "value": 0}'
        assert await board.type("iot gpio 7 enable dir in pull up edge falling") == "OK"
        board.press(7, 0)
        said = b'{"recipient": "ann@example.com", "message": "The door \\"A\\" is open."}'
        assert await caller.hear() == (NOTIFICATION, said)


async def test_it_comes_back_when_the_broker_does(program: Path, portal: Portal) -> None:
    folder = portal.device_folder(PUMP, profile="modern")
    async with running(program, folder) as board:
        await board.told("listening")
        await portal.broker.stop()
        await board.told("no connection")
        await portal.start()
        await board.told("listening")
        async with portal.caller(PUMP) as caller:
            assert await caller.ask(PUMP, "get_status") == b'{"value": "running"}'


async def test_it_talks_to_no_broker_whose_certificate_is_anothers(program: Path, portal: Portal, tmp_path: Path) -> None:
    folder = portal.device_folder(PUMP)
    write(folder, "root-ca.pem", Authority("Another root").root)
    async with running(program, folder) as board:
        await board.told("disconnected")
        await board.told("disconnected")
    write(folder, "root-ca.pem", portal.authority.root)
    await portal.broker.stop()
    await portal.start(portal.authority.broker(host="other.example"))
    async with running(program, folder) as board:
        await board.told("disconnected")
        await board.told("disconnected")


async def test_what_cannot_be_a_device_is_said_in_a_line(program: Path, portal: Portal) -> None:
    folder = portal.device_folder(PUMP)
    write(folder, "device.key", portal.authority.device(PUMP).key)
    async with running(program, folder) as board:
        await board.told("cannot be used: the device's private key, or the certificate is not its")
        assert await board.process.wait() == 2
    write(folder, "config.json", b"{}")
    async with running(program, folder) as board:
        await board.told("config.json is not a device's")
        assert await board.process.wait() == 2
