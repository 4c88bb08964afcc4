"""The pure device, byte by byte."""

import json

import pytest

from devices.profiles import Profile
from simulators.device import Device, Outgoing, Pin, Setup, parse_pins
from simulators.profiles import FT900, MODERN, PROFILES, STANDARD

ID = "0123456789abcdef0123456789abcdef"
ALL = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
SILENT = pytest.mark.parametrize("profile", [STANDARD, FT900], ids=["standard", "ft900"])


def make(profile: Profile = STANDARD, **setup: object) -> Device:
    return Device(ID, profile=profile, setup=Setup(**setup), clock=lambda: 1574000000.0)  # type: ignore[arg-type]  # the fields of Setup, by name


def answers(device: Device, api: str, payload: bytes = b"{}") -> list[bytes]:
    outgoing = device.handle(api, payload)
    assert {message.api for message in outgoing} <= {api, "trigger_notification"}
    return [message.payload for message in outgoing]


@ALL
@pytest.mark.parametrize(
    ("api", "command", "answer"),
    [
        ("get_status", b"{}", b'{"value": "running"}'),
        ("set_status", b'{"value": "restart"}', b'{"value": "restarting"}'),
        ("get_gpio", b'{"number": 10}', b'{"number": 10, "value": 0}'),
        ("get_gpio", b'{"number": "10"}', b'{"number": 10, "value": 0}'),
        ("set_gpio", b'{"number": 10, "value": 1}', b'{"number": 10, "value": 1}'),
        ("set_gpio", b'{"number": 0, "value": 0}', b'{"number": 0, "value": 0}'),
        ("get_rtc", b"{}", b'{"value": 1574000000}'),
        ("set_rtc", b'{"value": 1600000000}', b'{"value": 1600000000}'),
        ("get_mac", b"{}", b'{"value": "02:3e:b1:bd:43:99"}'),
        ("set_mac", b'{"value": "00:c0:ca:90:61:05"}', b'{"value": "00:c0:ca:90:61:05"}'),
        ("get_ip", b"{}", b'{"value": "192.168.100.73"}'),
        ("get_subnet", b"{}", b'{"value": "255.255.255.0"}'),
        ("get_gateway", b"{}", b'{"value": "192.168.100.1"}'),
        ("write_uart", b'{"value": "hello world"}', b'{"value": "hello world"}'),
        ("write_uart", rb'{"value": "gr\u00fc\u00df"}', rb'{"value": "gr\u00fc\u00df"}'),
        (
            "trigger_notification",
            b'{"recipient": "a@b.example", "message": "hi"}',
            b'{"recipient": "a@b.example", "message": "hi"}',
        ),
    ],
)
def test_it_answers_every_api_byte_by_byte(profile: Profile, api: str, command: bytes, answer: bytes) -> None:
    assert answers(make(profile), api, command) == ([] if api in profile.lacks else [answer])


def test_it_escapes_quotes_where_the_firmware_can() -> None:
    assert answers(make(STANDARD), "write_uart", rb'{"value": "say \"hi\""}') == [rb'{"value": "say \"hi\""}']


def test_the_smallest_firmware_does_not_escape_quotes() -> None:
    assert answers(make(FT900), "write_uart", rb'{"value": "say \"hi\""}') == [b'{"value": "say "hi""}']
    command = rb'{"recipient": "+4912345", "message": "say \"hi\""}'
    assert answers(make(FT900), "trigger_notification", command) == [b'{"recipient": "+4912345", "message": "say "hi""}']


def test_the_smallest_firmware_cuts_what_does_not_fit_its_buffers() -> None:
    long = json.dumps({"value": "x" * 200}).encode()
    assert answers(make(FT900), "write_uart", long) == [(b'{"value": "' + b"x" * 117 + b'"}')[:127]]
    device = make(FT900)
    device.type_line(f'iot set message "{"m" * 100}" recipient "{"r" * 100}"')
    assert (device.message, device.recipient) == ("m" * 64, "r" * 64)
    (raised,) = device.raise_notification()
    assert raised.payload == (b'{"recipient": "' + b"r" * 64 + b'", "message": "' + b"m" * 64)[:127]
    assert len(raised.payload) == 127


def test_the_smallest_firmware_finds_nothing_in_json_without_its_spaces() -> None:
    assert answers(make(FT900), "set_gpio", b'{"number":10,"value":1}') == []
    assert answers(make(STANDARD), "set_gpio", b'{"number":10,"value":1}') == [b'{"number": 10, "value": 1}']


def test_the_smallest_firmware_gives_strange_bytes_back_unchanged() -> None:
    assert answers(make(FT900), "write_uart", b'{"value": "\xff\xfe"}') == [b'{"value": "\xff\xfe"}']


def test_a_modern_device_puts_the_id_back_between_number_and_value() -> None:
    device = make(MODERN)
    command = b'{"number": 3, "id": "q1", "value": 1}'
    assert answers(device, "set_gpio", command) == [b'{"number": 3, "id": "q1", "value": 1}']
    assert answers(device, "get_status", b'{"id": 7}') == [b'{"id": 7, "value": "running"}']


@SILENT
def test_half_a_character_that_json_can_spell_breaks_nothing(profile: Profile) -> None:
    command = rb'{"recipient": "\ud83d", "message": "half"}'
    assert answers(make(profile), "trigger_notification", command) == [command]


@SILENT
def test_a_documented_device_does_not_know_ids(profile: Profile) -> None:
    assert answers(make(profile), "get_status", b'{"id": "q1"}') == [b'{"value": "running"}']


@pytest.mark.parametrize(
    ("api", "command", "code"),
    [
        ("dance", b"{}", "unknown_api"),
        ("get_status", b"[]", "bad_request"),
        ("get_status", b"{", "bad_request"),
        ("get_gpio", b'{"number": 256}', "bad_request"),
        ("get_gpio", b'{"number": true}', "bad_request"),
        ("get_gpio", b'{"number": 1e400}', "bad_request"),
        ("set_gpio", b'{"number": 2, "value": 2}', "bad_request"),
        ("set_gpio", b'{"number": 4, "value": 1}', "pin_is_input"),
        ("set_status", b'{"value": "explode"}', "bad_request"),
        ("set_rtc", b'{"value": -1}', "bad_request"),
        ("set_rtc", b'{"value": 99999999999}', "bad_request"),
        ("set_mac", b'{"value": "nonsense"}', "bad_request"),
        ("write_uart", b'{"value": 5}', "bad_request"),
        ("trigger_notification", b'{"recipient": "a@b.example"}', "bad_request"),
    ],
)
def test_a_modern_device_says_what_is_wrong(api: str, command: bytes, code: str) -> None:
    (answer,) = answers(make(MODERN, pins=parse_pins(["4=in"])), api, command)
    error = json.loads(answer)["error"]
    assert error["code"] == code
    assert error["message"]


def test_a_modern_error_keeps_number_and_id() -> None:
    (answer,) = answers(make(MODERN), "set_gpio", b'{"number": 2, "id": "q", "value": 9}')
    assert answer == b'{"number": 2, "id": "q", "error": {"code": "bad_request", "message": "value must be 0 or 1"}}'


@SILENT
@pytest.mark.parametrize(
    ("api", "command"),
    [
        ("dance", b"{}"),
        ("get_gpio", b"{}"),
        ("set_gpio", b'{"number": 2, "value": 2}'),
        ("set_status", b"{}"),
        ("write_uart", b"x"),
    ],
)
def test_a_documented_device_is_silent_to_what_it_does_not_understand(profile: Profile, api: str, command: bytes) -> None:
    assert answers(make(profile), api, command) == []


@ALL
def test_a_board_without_a_clock_never_answers_about_it(profile: Profile) -> None:
    device = make(profile, has_rtc=False)
    assert answers(device, "get_rtc") == answers(device, "set_rtc", b'{"value": 1574000000}') == []


def test_the_clock_keeps_what_it_was_set_to_and_drifts() -> None:
    now = [1000.0]
    device = Device(ID, setup=Setup(rtc_offset_s=-500, rtc_drift_s_per_h=0.36), clock=lambda: now[0])
    assert device.rtc == 500
    device.handle("set_rtc", b'{"value": 1574000000}')
    now[0] += 100_000
    assert device.rtc == 1574000000 + 100_010


def test_only_the_restarting_answer_reboots_the_device() -> None:
    device = make()
    assert device.handle("set_status", b'{"value": "restart"}') == [
        Outgoing("set_status", b'{"value": "restarting"}', then_restart=True)
    ]
    assert not device.handle("get_status", b"{}")[0].then_restart


def test_a_reboot_forgets_pins_and_keeps_clock_addresses_and_texts() -> None:
    device = make(pins={2: Pin("in", level=0, name="door")})
    device.handle("set_gpio", b'{"number": 10, "value": 1}')
    device.handle("set_mac", b'{"value": "00:c0:ca:90:61:05"}')
    device.handle("set_rtc", b'{"value": 1600000000}')
    device.type_line('iot set recipient "a@b.example"')
    device.drive(2, 1)
    device.restart()
    assert answers(device, "get_gpio", b'{"number": 10}') == [b'{"number": 10, "value": 0}']
    assert device.pins[2] == Pin("in", level=0, name="door", wired=True)
    assert (device.mac, device.rtc, device.recipient) == ("00:c0:ca:90:61:05", 1600000000, "a@b.example")
    assert list(device.uart) == []


@ALL
def test_a_notification_for_itself_is_shown_and_not_answered(profile: Profile) -> None:
    device = make(profile)
    command = json.dumps({"recipient": ID, "message": "water the plants"}).encode()
    assert answers(device, "trigger_notification", command) == []
    assert list(device.uart) == ["NOTIFICATION water the plants"]


def test_the_keyword_on_the_uart_raises_a_notification_after_the_answer() -> None:
    device = make(keyword="FIRE", recipient="a@b.example", message="it burns")
    assert answers(device, "write_uart", b'{"value": "all is well"}') == [b'{"value": "all is well"}']
    assert answers(device, "write_uart", b'{"value": "FIRE in the shed"}') == [
        b'{"value": "FIRE in the shed"}',
        b'{"recipient": "a@b.example", "message": "it burns"}',
    ]


def test_without_a_recipient_it_says_so_on_the_uart_and_raises_nothing() -> None:
    device = make()
    assert answers(device, "write_uart", b'{"value": "ALARM"}') == [b'{"value": "ALARM"}']
    assert device.uart[-1] == 'ERROR no recipient is stored: iot set recipient "..."'


@pytest.mark.parametrize(("edge", "rises", "falls"), [("none", 0, 0), ("rising", 1, 0), ("falling", 0, 1), ("both", 1, 1)])
def test_an_edge_on_an_enabled_pin_raises_a_notification(edge: str, rises: int, falls: int) -> None:
    device = make(recipient="a@b.example")
    device.type_line(f"iot gpio 7 enable dir in pull none edge {edge}")
    assert [len(device.drive(7, level)) for level in (1, 1, 0, 0)] == [rises, 0, falls, 0]
    assert len(answers(device, "set_gpio", b'{"number": 7, "value": 1}')) == 1 + rises
    device.type_line("iot gpio 7 disable")
    assert device.drive(7, 0) == []


def test_a_pull_up_reads_as_one_until_something_pulls_it_down() -> None:
    device = make()
    device.type_line("iot gpio 7 enable dir in pull up edge none")
    assert answers(device, "get_gpio", b'{"number": 7}') == [b'{"number": 7, "value": 1}']
    device.drive(7, 0)
    assert answers(device, "get_gpio", b'{"number": 7}') == [b'{"number": 7, "value": 0}']


def test_a_typed_line_is_answered_on_the_uart() -> None:
    printed: list[str] = []
    device = Device(ID, on_print=printed.append)
    device.type_line('iot set message "it is hot" recipient "+491234"')
    device.type_line("iot dance")
    assert printed == ["OK", "ERROR iot knows set, send and gpio"]
    (sent,) = device.type_line('iot send recipient "a@b.example"')
    assert sent == Outgoing("trigger_notification", b'{"recipient": "a@b.example", "message": "it is hot"}')
    (written,) = device.type_line("iot gpio 5 enable edge rising") or device.type_line("iot gpio 5 write 1")
    assert written.payload == b'{"recipient": "+491234", "message": "it is hot"}'


def test_two_devices_are_not_alike() -> None:
    one, other = Device("a" * 32), Device("b" * 32)
    assert (one.mac, one.ip) != (other.mac, other.ip)


@pytest.mark.parametrize("word", ["", "2", "2=up", "256=in", "x=in", "2=in:", "2=in:" + "x" * 41])
def test_it_refuses_a_pin_it_cannot_read(word: str) -> None:
    with pytest.raises(ValueError, match="NUMBER=in"):
        parse_pins([word])


def test_it_reads_wired_pins_with_names() -> None:
    assert parse_pins(["2=in:door", "10=out"]) == {2: Pin("in", name="door", wired=True), 10: Pin("out", wired=True)}
