"""A device's firmware is certified against its profile, through a portal that runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from accounts.services import personal_account
from devices.downloads import device_zip, header
from devices.services import register_device
from firmware.tests.build import make, needs_compiler, needs_mosquitto
from messaging import cache
from simulators.conformance import main
from simulators.tests.test_node import NODE, needs_node
from tests.api.live import LivePortal, committed, until

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture(scope="module")
def portal_with_bridge(portal: LivePortal) -> Iterator[LivePortal]:
    """Return the portal while its history is written; what that leaves in Valkey is gone afterwards."""
    before = set(cache.client().scan_iter("*"))
    portal.environment["PORTAL_BRIDGE"] = "1"
    portal.start("bridge", "-m", "celery", "-A", "iotportal", "worker", "-P", "solo", "--without-mingle", "--without-gossip")
    for device in (portal.device, portal.modern, portal.broken):
        until(partial(_connected, portal, device.hex), f"the bridge to hear of {device}")
    yield portal
    portal.stop("bridge")
    del portal.environment["PORTAL_BRIDGE"]
    for key in set(cache.client().scan_iter("*")) - before:
        cache.client().delete(key)


def _connected(portal: LivePortal, device: str) -> bool:
    said: dict[str, Any] = portal.ask("GET", f"/api/v1/devices/{device}/presence").json()
    return bool(said["presence"]["state"] == "connected")


@pytest.fixture
def certify(portal_with_bridge: LivePortal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what tests a device: options to (exit code, report)."""
    monkeypatch.setenv("PORTAL_TOKEN", portal_with_bridge.secret)

    def run(device: str, *options: str) -> tuple[int, dict[str, Any]]:
        code = main(["--id", device, "--portal", portal_with_bridge.url, "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return run


def failures(report: dict[str, Any]) -> list[Any]:
    return [one for one in report["findings"] if one["verdict"] == "fail"]


def tried(report: dict[str, Any], verdict: str = "pass") -> set[tuple[str, str]]:
    return {(one["api"], one["rule"]) for one in report["findings"] if one["verdict"] == verdict}


def test_a_documented_device_is_conformant(portal: LivePortal, certify: Any) -> None:
    code, report = certify(portal.device.hex, "--sets", "all", "--restart")
    assert (failures(report), code) == ([], 0)
    assert {
        ("get_gpio", "answers as the profile says"),
        ("get_gpio", "answers 8 who ask at once"),
        ("set_gpio", "is there when it is read"),
        ("set_status", "comes back after a restart"),
        ("get_conformance_probe", "does no harm"),
    } <= tried(report)
    assert report["median_ms"] > 0


def test_one_that_repeats_ids_and_reports_errors_is_held_to_it(portal: LivePortal, certify: Any) -> None:
    code, report = certify(portal.modern.hex, "--sets", "set_gpio,write_uart")
    assert (failures(report), code) == ([], 0)
    assert ("get_conformance_probe", "is refused in words") in tried(report)
    assert {("set_rtc", "is answered"), ("set_status", "comes back after a restart")} <= tried(report, "skip")


def test_the_smallest_firmware_is_conformant_though_it_is_deaf_while_it_works(
    portal: LivePortal, certify: Any, tmp_path: Path
) -> None:
    def register() -> Any:
        device = register_device(account=personal_account(portal.user), name="Small", profile="ft900").device
        (tmp_path / "small.zip").write_bytes(device_zip(device))
        return device

    device = committed(register)
    portal.start("small", str(tmp_path / "small.zip"), "-q", "--port", portal.environment["MQTT_PORT"])
    until(lambda: _connected(portal, device.hex), "the small device")
    code, report = certify(device.hex, "--sets", "all")
    portal.stop("small")
    portal.ask("DELETE", f"/api/v1/devices/{device.hex}")
    assert (failures(report), code) == ([], 0)
    assert ("get_status", "answers 20 in a row") in tried(report)


@needs_node
def test_the_simulator_for_node_is_conformant_as_an_old_client(portal: LivePortal, certify: Any, tmp_path: Path) -> None:
    def register() -> Any:
        device = register_device(account=personal_account(portal.user), name="Node", profile="modern").device
        (tmp_path / "node.zip").write_bytes(device_zip(device))
        return device

    device = committed(register)
    options = ["-q", "--protocol", "MQIsdp", "--reboot-s", "0.1", "--port", portal.environment["MQTT_PORT"]]
    command = ["node", str(NODE / "mqtt.js"), "--zip", str(tmp_path / "node.zip"), *options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as simulator:
        try:
            until(lambda: _connected(portal, device.hex), "the simulator for Node.js")
            code, report = certify(device.hex, "--sets", "all", "--restart", "--rounds", "2")
        finally:
            simulator.terminate()
    portal.ask("DELETE", f"/api/v1/devices/{device.hex}")
    assert (failures(report), code) == ([], 0)
    assert {("set_status", "comes back after a restart"), ("get_status", "answers 20 in a row")} <= tried(report)


@needs_compiler
@needs_mosquitto
def test_the_firmware_built_with_the_portals_header_is_conformant_and_outlives_the_broker(
    portal: LivePortal, certify: Any, tmp_path: Path
) -> None:
    def register() -> Any:
        device = register_device(account=personal_account(portal.user), name="Board", profile="modern").device
        (tmp_path / "iot_config.h").write_text(header(device))
        return device

    device = committed(register)
    with (tmp_path / "iot_config.h").open("a") as config:
        config.write(f"#undef IOT_PORT\n#define IOT_PORT {portal.environment['MQTT_PORT']}\n")
    make(tmp_path, "posix", f"IOT_CONFIG={tmp_path}/iot_config.h", "PORT_FLAGS=-DIOT_RETRY_FIRST_MS=100")
    with subprocess.Popen([tmp_path / "iot-posix", "--board", tmp_path / "board"], stdin=subprocess.DEVNULL) as board:
        try:
            until(lambda: _connected(portal, device.hex), "the firmware")
            code, report = certify(device.hex, "--sets", "all", "--restart", "--rounds", "2")
            assert (failures(report), code) == ([], 0)
            assert {("set_status", "comes back after a restart"), ("get_gpio", "answers 8 who ask at once")} <= tried(report)
            portal.processes["broker"].kill()
            portal.stop("broker")
            portal.start_broker()
            portal.wait_for_answers()
            status = f"/api/v1/devices/{device.hex}/status?timeout=1"
            until(lambda: portal.ask("GET", status).status_code == 200, "an answer of the firmware after the broker's end")
        finally:
            board.terminate()
    portal.ask("DELETE", f"/api/v1/devices/{device.hex}")


def test_a_device_that_answers_nonsense_is_not_conformant(portal: LivePortal, certify: Any) -> None:
    code, report = certify(portal.broken.hex, "--rounds", "1")
    assert (code, report["conformant"]) == (1, False)
    assert ("get_status", "is answered") in tried(report, "fail")


@pytest.mark.parametrize(
    ("device", "token", "said"),
    [(None, "iotp_wrong", "the token is not good there"), ("0" * 32, None, "it has no such device")],
)
def test_what_cannot_be_tested_is_said_in_a_line(
    portal: LivePortal, capsys: pytest.CaptureFixture[str], device: str | None, token: str | None, said: str
) -> None:
    words = ["--id", device or portal.device.hex, "--portal", portal.url, "--token", token or portal.secret]
    assert main(words) == 2
    assert said in capsys.readouterr().err
