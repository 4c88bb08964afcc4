"""What a device says is understood by its account's own profile, as it is in force."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Account
from devices import profile_store, services
from devices.models import OwnProfile
from devices.profile_documents import with_api
from devices.profiles import Profile, get_profile, parse_profile, resolved
from devices.tests.factories import make_device
from messaging.bridge.inbox import Batch
from messaging.bridge.writer import Writer
from messaging.models import Message, Reading
from messaging.protocol.readings import reading_key, reading_of
from messaging.tests.bridge.test_writer import incoming, told

VALUE = {"name": "value", "type": "number", "unit": "%"}


def api(kind: str = "get", answer: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    return {"title": "X", "kind": kind, "tile": "form", "answer": [VALUE] if answer is None else answer, **more}


def names(*fields: str) -> list[dict[str, Any]]:
    return [{"name": field, "type": "number"} for field in fields]


@pytest.mark.django_db(transaction=True)
class TestBridge:
    @pytest.fixture
    def garden(self, account: Account) -> OwnProfile:
        document = with_api(resolved("standard"), "get_soil", api())
        return services.make_profile(account=account, name="Garden", document=document)

    def test_an_own_value_is_a_reading_and_pages_are_told(self, writer: Writer, account: Account, garden: OwnProfile) -> None:
        pump, other = make_device(account, "Soil probe", "garden"), make_device(account, "Other")
        written = writer.write(Batch([incoming(pump, "get_soil", {"value": 41.5}), incoming(other, "get_soil", {"value": 1}, 2)]))
        assert list(Reading.objects.values_list("device", "key", "value")) == [(pump.pk, "soil", 41.5)]
        (event,) = [event for event in told(written) if event["kind"] == "reading"]
        assert (event["key"], event["value"]) == ("soil", 41.5)

    def test_a_save_counts_from_the_next_batch_on(self, writer: Writer, account: Account, garden: OwnProfile) -> None:
        pump = make_device(account, "Soil probe", "garden")
        writer.write(Batch([incoming(pump, "get_soil", {"moisture": 40, "salt": 2})]))
        assert Message.objects.get().malformed
        document = with_api(services.document_of(garden), "get_soil", api(answer=names("moisture", "salt")))
        services.save_profile(profile=garden, document=document)
        writer.write(Batch([incoming(pump, "get_soil", {"moisture": 41, "salt": 2}, 2)]))
        assert Reading.objects.get().value == {"moisture": 41, "salt": 2}
        profile_store._own.clear()  # another process, which has read nothing yet
        writer.write(Batch([incoming(pump, "get_soil", {"moisture": 42, "salt": 2}, 3)]))
        assert Reading.objects.get().value == {"moisture": 42, "salt": 2}

    def test_a_device_whose_profile_was_deleted_goes_on(self, writer: Writer, account: Account, garden: OwnProfile) -> None:
        pump = make_device(account, "Soil probe", "garden")
        writer.write(Batch([incoming(pump, "get_soil", {"value": 1})]))
        services.change_profile(device=pump, profile="standard")
        services.delete_profile(profile=garden)
        writer.write(Batch([incoming(pump, "get_gpio", {"number": 3, "value": 1}, 2)]))
        assert Reading.objects.get(key="gpio/3").value == 1


# --- which value an answer confirms --------------------------------------------------------------------------------------------


def profile(**apis: dict[str, Any]) -> Profile:
    return parse_profile({"slug": "x", "name": "X", "apis": apis}, where="x", slug="x")


def key(found: Profile, name: str) -> str | None:
    return reading_key(found, found.api(name))


def test_a_get_its_set_and_an_event_of_the_name_are_about_one_thing() -> None:
    found = profile(get_fan=api(), set_fan=api("set", fields=[VALUE]), fan=api("event"))
    assert {key(found, name) for name in ("get_fan", "set_fan", "fan")} == {"fan"}


def test_what_says_less_than_the_get_speaks_for_itself() -> None:
    found = profile(
        get_fan=api(answer=names("speed", "load")), set_fan=api("set", names("speed")), fan=api("event", names("load"))
    )
    assert [key(found, name) for name in ("get_fan", "set_fan", "fan")] == ["fan", "api:set_fan", "api:fan"]


def test_an_api_without_a_get_is_about_itself() -> None:
    found = profile(set_fan=api("set"), measure=api(), door=api("event"))
    assert [key(found, name) for name in ("set_fan", "measure", "door")] == ["fan", "measure", "door"]


def test_nothing_is_kept_of_what_is_not_shown_or_says_nothing() -> None:
    found = profile(get_a=api(tile="none"), get_b=api(answer=[]), get_c=api(answer=names("number")))
    assert [key(found, name) for name in ("get_a", "get_b", "get_c", "get_undeclared")] == [None] * 4


def test_each_number_is_a_reading_of_its_own() -> None:
    found = profile(
        get_adc=api(
            answer=[{"name": "number", "type": "integer"}, *names("volts")], fields=[{"name": "number", "type": "integer"}]
        )
    )
    get = found.apis["get_adc"]
    assert reading_of(found, get, {"number": 3, "volts": 3.3}) == ("adc/3", {"volts": 3.3})
    for number in (None, "3", -1, 40_000, True):
        assert reading_of(found, get, {"number": number, "volts": 3.3}) is None


def test_a_value_is_kept_plain_or_as_an_object_and_within_bounds() -> None:
    found = profile(get_a=api(), get_b=api(answer=names("x", "y")), get_c=api(answer=[{"name": "value", "type": "object"}]))
    assert reading_of(found, found.apis["get_a"], {"value": 1.5, "more": 2}) == ("a", 1.5)
    assert reading_of(found, found.apis["get_b"], {"x": 1, "y": None, "more": 2}) == ("b", {"x": 1})
    assert reading_of(found, found.apis["get_b"], {}) is None
    assert reading_of(found, found.apis["get_a"], {"value": "x" * 999}) == ("a", "x" * 200)
    assert reading_of(found, found.apis["get_c"], {"value": {"a": ["x" * 100] * 30}}) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("get_gpio", "gpio"), ("set_gpio", "gpio"), ("get_rtc", "rtc"), ("set_mac", "mac"), ("get_ip", "ip")),
        *(("get_status", None), ("write_uart", None)),
    ],
)
def test_documented_apis_have_the_keys_that_pages_know(name: str, expected: str | None) -> None:
    assert key(get_profile("standard"), name) == expected
