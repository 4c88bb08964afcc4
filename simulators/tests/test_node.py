"""The Node.js simulator: on the broker over mutual TLS, and byte for byte beside the Python one."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from simulators.bundle import build_device_zip
from simulators.device import Device, Outgoing, Setup, parse_pins
from simulators.mqtt import EXIT_REFUSED, EXIT_SETTINGS
from simulators.profiles import PROFILES, read_profile
from simulators.tests.pki import Authority
from simulators.tests.portal import DEADLINE_S, Portal
from simulators.tests.test_end_to_end import PUMP

NODE = Path(__file__).parent.parent / "node"
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE / "node_modules").is_dir(),
    reason="needs Node.js and what .ci/node.sh installs (make node)",
)
pytestmark = needs_node

ONLINE, OFFLINE = (f"{PUMP}/presence", b'{"value": "online"}'), (f"{PUMP}/presence", b'{"value": "offline"}')
CLOCK = 1574000000.0


# -- byte for byte -------------------------------------------------------------------------------

APIS = [*PROFILES["modern"].apis, "get_nothing", "set_fan", "constructor", "__proto__"]
VALUES: list[Any] = [
    *(0, 1, 2, 10, 255, 256, -1, 1574000000, 4294967295, 4294967296, 2**70, 1.0, -0.0, 1e300, 1.5e-7, 1e16, 123456.789),
    *(
        "0",
        "10",
        "-5",
        "x",
        "",
        "restart",
        "00:c0:ca:90:61:05",
        "ALARM",
        "all ALARM here",
        'say "hi" \\ {é} \u2028\U0001f600\x7f',
    ),
    *(PUMP, "a@b.example", "+491234", "m" * 70, "é" * 40, True, False, None, [], {}, {"2": 1, "1": [None, 1.0]}),
]
STRANGE = [
    *(
        b"",
        b"[]",
        b"{",
        b"nonsense",
        b'{"value": "\xff\xfe"}',
        b'\xef\xbb\xbf{"value": "bom"}',
        b'{"number":3,"value":1}',
        b'{"a" 1}',
    ),
    *(
        b'{"value": NaN}',
        b'{"id": [NaN, -Infinity], "value": "x"}',
        b'{"number": 3, "number": 4}',
        b'{"value": "\\ud800"}',
        b"[" * 2000,
    ),
    *(
        b'{"id": 007}',
        b'{"id": 1.}',
        b'{"id": -0, "value": "\x01"}',
        b'{"number": "3", "value": "1"}',
        b' {"id": "\\/\\u00e9"} ',
        b'{"id": 1}x',
    ),
    *(
        b'{"recipient": "\\ud83d", "message": "half"}',
        b'{"value": "ALARM \\\\ \xc3\xa9 \\"q\\""}',
        b'{"id": ' + b"9" * 5000 + b"}",
    ),
]
LINES = [
    *('iot set message "it is \\"hot\\" é" recipient "a@b.example"', "iot set", "iot send"),
    *("iot gpio 7 enable dir in pull up edge both", "iot gpio 7 write 0", "iot gpio 7 disable", "iot gpio 300 write 1"),
    *('iot send message "open', "iot gpio 4 enable edge sideways", "iot set message a message b", "iot dance", "", "hello"),
    *('iot send message "now" recipient "+49"', "iot gpio"),
]  # fmt: skip


def orders(seed: int) -> Iterator[dict[str, Any]]:
    """Yield what a device is told: every api with every kind of value, strange bytes, lines at its UART and pins that move."""
    chance = random.Random(seed)
    for payload in STRANGE:
        yield from ({"api": api, "payload": payload.hex()} for api in chance.sample(APIS, 4))
    yield from ({"type": line} for line in LINES)
    for _ in range(300):
        fields = {"number": chance.choice(VALUES), "id": chance.choice(VALUES), "value": chance.choice(VALUES)}
        fields |= {"recipient": chance.choice(VALUES), "message": chance.choice(VALUES)}
        chosen = {key: value for key, value in fields.items() if chance.random() < 0.7}
        yield {"api": chance.choice(APIS), "payload": json.dumps(chosen, ensure_ascii=chance.random() < 0.5).encode().hex()}
        if chance.random() < 0.1:
            yield {"pin": [chance.choice([4, 7, 9]), chance.choice([0, 1])]}


def node_says(made: dict[str, Any], told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps(one) + "\n" for one in [{"make": made}, *told])
    command = ["node", str(Path(__file__).parent / "answers.js")]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.strip().split("\n")[1:]]


def python_says(device: Device, printed: list[str], order: dict[str, Any]) -> dict[str, Any]:
    said: list[Outgoing]
    if "type" in order:
        said = device.type_line(order["type"])
    elif "pin" in order:
        said = device.drive(*order["pin"])
    else:
        said = device.handle(order["api"], bytes.fromhex(order["payload"]))
    shown = [_readable(line) if device.profile.string_search else line for line in printed]
    printed.clear()
    return {"messages": [[one.api, one.payload.hex(), one.then_restart] for one in said], "printed": shown}


def _readable(line: str) -> str:
    """Return a line of the smallest firmware, which may hold any bytes, as a terminal shows it."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@pytest.mark.parametrize("slug", PROFILES)
def test_it_says_the_same_bytes_as_the_python_one(slug: str) -> None:
    setup = {"recipient": "ops@example.com", "message": "Überlauf", "pins": ["4=in", "9=out"]}
    told = list(orders(seed=7))
    printed: list[str] = []
    pins = parse_pins(["4=in", "9=out"])
    made = Setup(recipient="ops@example.com", message="Überlauf", pins=pins, rtc_drift_s_per_h=0)
    device = Device(PUMP, profile=PROFILES[slug], setup=made, clock=lambda: CLOCK, on_print=printed.append)
    heard = node_says({"id": PUMP, "profile": slug, "setup": {**setup, "rtcDriftSPerH": 0}}, told)
    assert len(heard) == len(told) > 400
    for order, said in zip(told, heard, strict=True):
        assert said == python_says(device, printed, order), order


def test_a_profile_of_ones_own_is_answered_and_remembered(tmp_path: Path) -> None:
    fan = [
        {"name": "number", "type": "integer"},
        {"name": "value", "type": "number", "unit": "rpm", "minimum": 600, "maximum": 2400},
    ]
    apis = {
        "get_fan": {"title": "Fan", "kind": "get", "fields": fan[:1], "answer": fan, "echo": ["number"]},
        "set_fan": {"title": "Fan", "kind": "set", "fields": fan, "answer": fan, "echo": ["number", "value"]},
    }
    path = tmp_path / "fan.json"
    path.write_text(json.dumps({"slug": "fan", "name": "Fan", "errors": True, "apis": apis}))
    bodies = [("get_fan", '{"number": 1}'), ("set_fan", '{"number": 1, "value": 1e3}'), ("get_fan", '{"number": 1}')]
    bodies += [("set_fan", '{"number": 1, "value": 12}'), ("get_fan", "{}"), ("get_status", "{}")]
    told = [{"api": api, "payload": body.encode().hex()} for api, body in bodies]
    device = Device(PUMP, profile=read_profile(path), clock=lambda: CLOCK)
    assert node_says({"id": PUMP, "profile": str(path)}, told) == [python_says(device, [], order) for order in told]


@pytest.mark.parametrize(
    ("dial", "expected"),
    [
        ({"loss": 1}, []),
        ({"duplicate": 1}, [b'{"number": 3, "value": 0}'] * 2),
        ({"wrongPin": 1}, [b'{"number": 4, "value": 0}']),
    ],
)
def test_its_dials_spoil_answers(dial: dict[str, int], expected: list[bytes]) -> None:
    told = [{"api": "get_gpio", "payload": b'{"number": 3}'.hex()}]
    (said,) = node_says({"id": PUMP, "profile": "standard", "dials": dial}, told)
    assert [bytes.fromhex(payload) for _, payload, _ in said["messages"]] == expected


# -- on the broker -------------------------------------------------------------------------------


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Portal]:
    running = Portal(tmp_path)
    await running.start()
    yield running
    await running.broker.stop()


async def run(*words: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec("node", *words, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)


@asynccontextmanager
async def simulator(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the simulator until the end of the block; it must then leave in order."""
    process = await run(*(words if words[0].endswith(".js") else (str(NODE / "mqtt.js"), *words)))
    try:
        yield process
        process.terminate()
        shown, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        assert process.returncode == 0, shown.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_answers_over_mutual_tls_raises_notifications_and_says_goodbye(portal: Portal) -> None:
    folder = portal.device_folder(PUMP, profile="modern")
    async with portal.caller(PUMP) as caller, portal.watcher() as watcher:
        async with simulator("--zip", str(folder), "--console", "--recipient", "a@b.example", "--keyword", "FIRE") as process:
            assert await caller.hear() == ONLINE
            assert (await watcher.event("connected"))["protocol"] == "MQTT 3.1.1"
            assert await caller.ask(PUMP, "set_gpio", b'{"number": 10, "value": 1}') == b'{"number": 10, "value": 1}'
            assert await caller.ask(PUMP, "write_uart", b'{"value": "FIRE"}') == b'{"value": "FIRE"}'
            raised = b'{"recipient": "a@b.example", "message": "%s"}'
            assert await caller.hear() == (f"{PUMP}/trigger_notification", raised % b"Something happened here")
            assert process.stdin is not None
            process.stdin.write(b'iot set message "wet"\niot gpio 7 enable edge rising\npin 7 1\n')
            assert await caller.hear() == (f"{PUMP}/trigger_notification", raised % b"wet")
        assert await caller.hear() == OFFLINE
        assert (await watcher.event("disconnected"))["reason"] == "goodbye"


async def test_it_connects_as_old_clients_do_restarts_and_comes_back_as_new(portal: Portal) -> None:
    words = ("--zip", str(portal.device_folder(PUMP)), "--protocol", "MQIsdp", "--reboot-s", "0.05")
    async with portal.caller(PUMP) as caller, portal.watcher() as watcher, simulator(*words):
        assert (await watcher.event("connected"))["protocol"] == "MQTT 3.1"
        await _subscribed(portal)
        await caller.ask(PUMP, "set_gpio", b'{"number": 10, "value": 1}')
        assert await caller.ask(PUMP, "set_status", b'{"value": "restart"}') == b'{"value": "restarting"}'
        assert (await watcher.event("disconnected"))["reason"] == "goodbye"
        assert (await watcher.event("connected"))["protocol"] == "MQTT 3.1"
        await _subscribed(portal)
        assert await caller.ask(PUMP, "get_gpio", b'{"number": 10}') == b'{"number": 10, "value": 0}'


async def test_the_smallest_firmware_is_deaf_after_each_answer_and_the_last_will_speaks_when_power_is_lost(
    portal: Portal,
) -> None:
    folder = portal.device_folder(PUMP, profile="ft900")
    async with portal.caller(PUMP) as caller:
        async with simulator("--zip", str(folder), "--deaf-ms", "200"):
            await _subscribed(portal)
            await caller.ask(PUMP, "get_status")
            assert portal.broker.sessions[PUMP].subscriptions == {}
            caller.send(PUMP, "get_gpio", b'{"number": 3}')
            await _subscribed(portal)
            # Had the first question reached it, its answer would come before this one.
            assert await caller.ask(PUMP, "get_mac") != b""
        async with simulator("--zip", str(folder), "--presence", "--reboot", "1", "--reboot-s", "0.05"):
            assert await caller.hear() == ONLINE
            caller.send(PUMP, "get_status")
            assert [await caller.hear(), await caller.hear()] == [OFFLINE, ONLINE]
        assert await caller.hear() == OFFLINE


async def _subscribed(portal: Portal) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while PUMP not in portal.broker.sessions or not portal.broker.sessions[PUMP].subscriptions:
            await asyncio.sleep(0.005)


async def test_it_runs_from_a_downloaded_zip(portal: Portal, tmp_path: Path) -> None:
    issued = portal.authority.device(PUMP)
    config = {"device_id": PUMP, "name": "Green pump", "host": "localhost", "port": portal.port, "profile": "modern"}
    packed = tmp_path / "green-pump.zip"
    packed.write_bytes(build_device_zip(config, portal.authority.root, issued.certificate, issued.key, {}))
    shutil.unpack_archive(packed, tmp_path / "unpacked")
    program = tmp_path / "unpacked" / "simulators" / "node"
    (program / "node_modules").symlink_to(NODE / "node_modules")  # what `npm ci` would put there
    async with portal.caller(PUMP) as caller, simulator(str(program / "mqtt.js"), "--zip", str(packed), "-q"):
        assert await caller.hear() == ONLINE
        assert await caller.ask(PUMP, "get_status") == b'{"value": "running"}'


async def test_it_says_why_it_is_refused(portal: Portal) -> None:
    revoked, misled, lost = (portal.device_folder(letter * 32) for letter in "abc")
    portal.banned.add(revoked.name)
    (misled / "root-ca.pem").write_bytes(Authority("Another root").root)
    said = {
        "revoked or deleted": ["--zip", str(revoked)],
        "not signed by this root-ca.pem": ["--zip", str(misled)],
        "nothing listens on localhost port 1": ["--zip", str(lost), "--port", "1"],
    }
    await _all_end_with(EXIT_REFUSED, {complaint: [*words, "--once-refused-exit"] for complaint, words in said.items()})


async def test_it_says_what_is_missing() -> None:
    said = {
        "name a device": [],
        "not a zip": ["--zip", str(NODE / "package.json")],
        "a probability is 0 to 1": ["--loss", "2"],
        "MQTT or MQIsdp": ["--protocol", "5"],
    }
    await _all_end_with(EXIT_SETTINGS, said)


async def _all_end_with(code: int, said: dict[str, list[str]]) -> None:
    """Run the simulator with each of these words; it must end by itself with this code and say what stands before them."""
    processes = [await run(str(NODE / "mqtt.js"), *words) for words in said.values()]
    for process, complaint in zip(processes, said, strict=True):
        shown, _ = await asyncio.wait_for(process.communicate(), 6 * DEADLINE_S)
        assert (process.returncode, complaint in shown.decode()) == (code, True), shown.decode()
