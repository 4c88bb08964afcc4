"""A board is kept as JSON and made again of it, whatever was written to it."""

import json
from typing import Any

from devices.profiles import get_profile
from messaging.emulators.board import Dials, clock_offset_s, contacts, faults_of, make_device, remember
from simulators.device import Outgoing
from simulators.faults import Faults

HEX = "0123456789abcdef" * 2


def board(*lines: str, kept: dict[str, Any] | None = None) -> dict[str, Any]:
    device = make_device(HEX, get_profile("modern"), kept or {}, lambda _: None, clock=lambda: 1000.0)
    for line in lines:
        device.type_line(line)
    return remember(device, clock=lambda: 1000.0)


def test_it_goes_on_as_it_was() -> None:
    before = board("iot gpio 10 write 1", 'iot set message "Flow stopped" recipient "ann@example.com"')
    after = board(kept=json.loads(json.dumps(before)))
    assert after == before
    assert after["pins"]["10"]["level"] == 1
    assert (after["message"], after["recipient"]) == ("Flow stopped", "ann@example.com")


def test_its_clock_stays_as_wrong_as_it_was_set() -> None:
    device = make_device(HEX, get_profile("modern"), {}, lambda _: None, clock=lambda: 1000.0)
    device.handle("set_rtc", b'{"value": 4000}')
    assert board(kept=remember(device, clock=lambda: 1000.0))["rtc_offset_s"] == 3000


def test_its_clock_drifts_as_it_is_told_also_while_no_process_runs_it() -> None:
    now = [1000.0]
    device = make_device(HEX, get_profile("modern"), {}, lambda _: None, clock=lambda: now[0], drift=60)
    now[0] += 3600
    assert device.rtc == 1000 + 3600 + 60
    device.drift(-3600)
    now[0] += 3600
    assert device.rtc == 1000 + 3600 + 60, "it stands"
    kept = remember(device, clock=lambda: now[0])
    now[0] += 3600
    assert make_device(HEX, get_profile("modern"), kept, lambda _: None, clock=lambda: now[0], drift=36).rtc == now[0] - 3540 + 36
    assert clock_offset_s(kept, 36, now[0]) == -3540 + 36
    assert clock_offset_s({}, 36, now[0]) == 0


def test_nothing_that_postgresql_refuses_is_kept() -> None:
    device = make_device(HEX, get_profile("modern"), {}, lambda _: None)
    device.handle("write_uart", rb'{"value": "a\u0000b\ud800c"}')
    kept = remember(device)
    assert "\\u0000" not in json.dumps(kept)
    assert kept["uart"] == ["a\\x00b\ufffd\ufffd\ufffdc"]


def test_a_long_life_does_not_make_it_large() -> None:
    device = make_device(HEX, get_profile("modern"), {}, lambda _: None)
    for number in range(1000):
        device.handle("write_uart", json.dumps({"value": f"{number} " + "x" * 9000}).encode())
        device.handle("get_gpio", json.dumps({"number": number}).encode())
    assert len(json.dumps(remember(device))) < 80_000


def test_each_pin_is_a_lamp_or_a_switch_as_it_was_set_up() -> None:
    lamps, switches = contacts({})
    assert ([one.number for one in lamps], [one.number for one in switches]) == ([*range(8, 16)], [4, 5, 6, 7])
    lamps, switches = contacts(
        board(
            "iot gpio 5 enable dir out pull none edge none", "iot gpio 5 write 1",
            "iot gpio 9 enable dir in pull up edge falling", "iot gpio 20 write 1",
        )
    )  # fmt: skip
    assert [one.number for one in lamps if one.high] == [5, 20]
    assert [(one.number, one.high, one.more) for one in switches if one.more] == [(9, True, "pull up, falling edge")]


def test_faults_are_turned_while_it_runs_and_unknown_ones_are_left_out() -> None:
    dials = Dials(Faults(), seed=0, device_id=HEX)
    answer = [Outgoing("get_status", b"{}")]
    assert dials.spoil(answer) == answer
    dials.turn(faults_of({"loss": 1, "of_old": 3}))
    assert dials.spoil(answer) == []
    dials.turn(Faults())
    assert dials.spoil(answer) == answer
