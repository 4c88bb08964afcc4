"""Messages and commands of the past in the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.models import ApiToken, User
from devices.models import Device
from devices.services import delete_device
from devices.tests.factories import make_device
from messaging.models import Outcome
from messaging.tests.api.conftest import client_of
from messaging.tests.history import asked, exchange, now, said

MESSAGES = "/api/v1/messages"


def test_a_message_is_shown_as_it_was_said(api: APIClient, pump: Device) -> None:
    row = said(pump, "from", "write_uart", 'say "hé"', malformed=True)
    (shown,) = api.get(MESSAGES).json()["results"]
    assert shown == {
        "id": row.id.hex,
        "time": row.time.isoformat().replace("+00:00", "Z"),
        "device": pump.hex,
        "direction": "from",
        "api": "write_uart",
        "topic": f"server/{pump.hex}/write_uart",
        "payload": 'say "hé"',
        "size_bytes": 9,
        "malformed": True,
    }


def test_times_are_in_utc_whatever_the_users_time_zone(api: APIClient, pump: Device, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(time_zone="Asia/Tokyo")
    said(pump, "to", "get_gpio", "{}")
    assert api.get(MESSAGES).json()["results"][0]["time"].endswith("Z")


def test_filters_leave_what_they_say(api: APIClient, pump: Device) -> None:
    lamp = make_device(pump.account, "Lamp")
    old = now() - timedelta(hours=2)
    said(pump, "to", "get_gpio", '{"number": 4}', old)
    said(pump, "from", "get_gpio", '{"number": 4, "value": 1}', old + timedelta(seconds=1))
    said(lamp, "to", "write_uart", '{"value": "100%_sure"}')

    def apis(**query: str) -> list[str]:
        return [f"{row['direction']} {row['api']}" for row in api.get(MESSAGES, query).json()["results"]]

    assert apis() == ["to write_uart", "from get_gpio", "to get_gpio"]
    assert apis(device=pump.hex) == apis(api="get_gpio") == ["from get_gpio", "to get_gpio"]
    assert apis(direction="to") == ["to write_uart", "to get_gpio"]
    assert apis(until=old.isoformat()) == []
    assert apis(since=(old + timedelta(seconds=1)).isoformat()) == ["to write_uart", "from get_gpio"]
    assert apis(since=old.isoformat(), until=(old + timedelta(seconds=1)).isoformat()) == ["to get_gpio"]
    assert apis(text="100%_SURE") == ["to write_uart"]
    assert apis(text="1__%") == []
    assert apis(device=lamp.hex, api="get_gpio") == []


def test_pages_go_through_all_messages_forth_and_back(api: APIClient, pump: Device) -> None:
    for number in range(5):
        said(pump, "to", "get_gpio", f'{{"number": {number}}}')
    first = api.get(MESSAGES, {"page_size": "2", "device": pump.hex}).json()
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()
    payloads = [row["payload"] for page in (first, second, third) for row in page["results"]]
    assert payloads == [f'{{"number": {number}}}' for number in (4, 3, 2, 1, 0)]
    assert (first["previous"], third["next"]) == (None, None)
    assert f"device={pump.hex}" in first["next"]
    assert api.get(third["previous"]).json()["results"] == second["results"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"direction": "up"}, "direction"),
        ({"direction": ""}, "direction"),
        ({"since": "yesterday"}, "since"),
        ({"since": ""}, "since"),
        ({"until": "2026-13-01T00:00:00Z"}, "until"),
        ({"text": "a\0"}, "text"),
        ({"text": "a" * 201}, "text"),
        ({"api": "a\0"}, "api"),
        ({"device": "a\0"}, "device"),
        ({"api": "a" * 65}, "api"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"page_size": "201"}, "page_size"),
        ({"devcie": "x"}, "devcie"),
    ],
)
def test_a_filter_that_is_not_right_is_400_and_named(api: APIClient, query: dict[str, str], field: str) -> None:
    answer = api.get(MESSAGES, query)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


def test_nobody_reads_anothers_history(pump: Device, bob: User) -> None:
    exchange(pump, answer='{"number": 4, "value": 1}')
    api = client_of(bob)
    assert api.get(MESSAGES).json()["results"] == []
    answers = [api.get(MESSAGES, {"device": one}) for one in (pump.hex, "0" * 32, "x")]
    assert {(one.status_code, one.content) for one in answers} == {(404, answers[0].content)}
    commands = [api.get(f"/api/v1/devices/{one}/commands") for one in (pump.hex, "0" * 32)]
    assert {(one.status_code, one.content) for one in commands} == {(404, commands[0].content)}


def test_a_deleted_devices_messages_are_still_there_and_its_path_is_not(api: APIClient, pump: Device) -> None:
    said(pump, "to", "get_gpio", "{}")
    delete_device(device=pump)
    assert len(api.get(MESSAGES, {"device": pump.hex}).json()["results"]) == 1
    assert api.get(f"/api/v1/devices/{pump.hex}/commands").status_code == 404


def test_commands_come_with_their_timelines(api: APIClient, pump: Device) -> None:
    asked(pump, "get_gpio", '{"number": 4}', '{"number": 4, "value": 1}', at=now() - timedelta(seconds=9))
    asked(pump, "get_rtc", "{}", None, late_ms=6204.1)
    asked(make_device(pump.account, "Lamp"), "get_ip", "{}", "{}")
    late, answered = api.get(f"/api/v1/devices/{pump.hex}/commands").json()["results"]
    assert (late["outcome"], late["answer"], late["late_ms"]) == (Outcome.TIMEOUT, None, 6204.1)
    assert (answered["outcome"], answered["answered_ms"], answered["delivered_ms"]) == ("answered", 37.4, 38.4)
    assert answered["device"] == pump.hex


def test_a_token_that_only_reads_reads_the_past_and_sends_nothing(alice: User, pump: Device) -> None:
    api = client_of(alice, ApiToken.Scope.READ)
    assert api.get(f"/api/v1/devices/{pump.hex}/commands").status_code == 200
    assert api.get(MESSAGES).status_code == 200
    for method, end in (("get", "status"), ("get", "gpio/1"), ("post", "commands"), ("put", "rtc"), ("post", "restart")):
        answer = getattr(api, method)(f"/api/v1/devices/{pump.hex}/{end}")
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied"), end


@pytest.mark.parametrize("number", [1, 30])
def test_a_page_takes_as_many_queries_for_many_rows_as_for_one(
    api: APIClient, pump: Device, django_assert_num_queries: DjangoAssertNumQueries, number: int
) -> None:
    for one in range(number):
        said(pump, "to", "get_gpio", str(one))
    api.get(MESSAGES)
    with django_assert_num_queries(3):  # the token, the accounts, the rows
        api.get(MESSAGES)
