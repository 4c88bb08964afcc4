"""The core: its own tests in C, its memory, and the same answers as the simulator's."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from firmware.tests.build import make, needs_compiler
from simulators.device import Device, Setup
from simulators.profiles import PROFILES

pytestmark = [needs_compiler, pytest.mark.xdist_group("firmware")]

DEVICE = "0123456789abcdef0123456789abcdef"
EPOCH_S = 1574000000
APIS = [
    *("get_status", "get_gpio", "set_gpio", "get_rtc", "set_rtc", "get_mac", "set_mac", "get_ip", "get_subnet", "get_gateway"),
    *("write_uart", "trigger_notification", "set_status"),
]
PIECES = [" ", '"', "\\", "/", "\n", "\t", "\x01", "\x7f", "é", "€", "😀", "ALARM", "a", "{", "}", "restart", "02:00:00:00:00:01"]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("firmware")


def test_the_cores_own_tests_pass_with_sanitizers_and_run_nearly_all_of_it_and_it_fits_into_its_memory(build: Path) -> None:
    said = make(build, "coverage", "size", "FUZZ_ROUNDS=50000")
    assert said.count(" 0 failed") == 4
    assert "fuzz: 50000 rounds" in said
    assert "lines of the core" in said, "which fails below its floor"
    assert "of 8192" in said


def _text(chance: random.Random) -> str:
    return "".join(chance.choice(PIECES) for _ in range(chance.randrange(6)))


def _value(chance: random.Random) -> Any:
    numbers = [0, 1, 2, 10, 255, 256, 2**32 - 1, 2**32, True, None, 1.0, [1], {"value": 1}]
    texts = [_text(chance), str(chance.randrange(300)), "restart", "02:00:00:00:00:01", DEVICE]
    return chance.choice([chance.randrange(256), chance.choice(numbers), chance.choice(texts)])


def _command(chance: random.Random, broken: float) -> bytes:
    """Return a command as callers send them: mostly right, sometimes not, and cut off as often as `broken` says."""
    names = chance.sample(["number", "id", "value", "recipient", "message", "extra"], chance.randrange(6))
    payload = json.dumps({name: _value(chance) for name in names}).encode()
    return payload[:-1] if chance.random() < broken else payload


@pytest.mark.parametrize("slug", ["standard", "modern"])
def test_it_answers_what_the_simulator_answers(slug: str, build: Path) -> None:
    """All but one thing: of a command that is cut off the firmware repeats the id, if that came through."""
    counted = build / "counted"  # built there already, or from now on
    make(counted, f"{counted}/replay", "COVERAGE=--coverage")
    chance = random.Random(slug)
    commands = [(chance.choice(APIS), _command(chance, broken=0.05 if slug == "standard" else 0.0)) for _ in range(3000)]
    lines = "".join(f"{api} {payload.hex()}\n" for api, payload in commands)
    said = subprocess.run([counted / "replay", slug], input=lines, capture_output=True, text=True, timeout=60, check=True).stdout
    simulator = Device(
        DEVICE, profile=PROFILES[slug], setup=Setup(recipient="ann@example.com", rtc_drift_s_per_h=0.0), clock=lambda: EPOCH_S
    )
    simulator.mac, simulator.ip = "00:c0:ca:90:61:05", "192.168.100.5"
    answers = said.split(".\n")[:-1]
    for (api, payload), answer in zip(commands, answers, strict=True):
        wanted = "".join(f"{one.api} {one.payload.decode()}\n" for one in simulator.handle(api, payload))
        assert answer == wanted, payload
