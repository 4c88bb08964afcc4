"""Rules: what they wait for, and that they tell it once and not too often."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core import mail
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from accounts.models import Account, Role
from devices.models import Device
from devices.tests.factories import at_once, make_account, make_device, make_member
from messaging.hooks import DeviceMessage, FailedCommand
from notifications import gaps
from notifications.conditions import Condition
from notifications.conditions import read as read_fields
from notifications.models import Cause, Notification, Rule
from notifications.services import intake, outbox, rule_book, rules
from notifications.templating.events import RULE_VARIABLES
from notifications.tests.test_api import caller

Say = Callable[..., DeviceMessage]
START = timezone.now()


@pytest.fixture(autouse=True)
def _fresh_book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_book, "book", rule_book.Book())
    monkeypatch.setattr(rule_book, "_LOOK_S", 0.0)


@pytest.fixture
def make(device: Device) -> Callable[..., Rule]:
    """Return what makes a rule of the device."""

    def rule(**over: Any) -> Rule:
        about = {
            "api": "get_level",
            "field": "value",
            "comparison": "lt",
            "value": "20",
            "recipient": "alice@example.org",
            **over,
        }
        return rules.save(rule=Rule(device=device, account=device.account, **about))

    return rule


@pytest.fixture
def say(device: Device) -> Say:
    """Return what has the device say something, at a minute."""

    def message(
        payload: object, minute: float = 0, api: str = "get_level", key: UUID | None = None, **over: Any
    ) -> DeviceMessage:
        text = payload if isinstance(payload, str) else json.dumps(payload)
        about = {"account_id": device.account_id, "device_id": device.pk, **over}
        one = DeviceMessage(key or uuid4(), START + timedelta(minutes=minute), api=api, payload=text, **about)
        rules.notice([one])
        return one

    return message


def told() -> list[str]:
    return list(Notification.objects.filter(cause="rule").order_by("asked_at").values_list("message", flat=True))


class TestConditions:
    @pytest.mark.parametrize(
        ("comparison", "wanted", "value", "so"),
        [
            ("eq", "1", 1, True), ("eq", "1.0", 1, True), ("eq", "on", "on", True), ("eq", "on", "ON", False),
            ("eq", "true", True, True), ("eq", "1", True, False), ("ne", "1", 0, True), ("ne", "1", 1, False),
            ("lt", "20", 19.9, True), ("lt", "20", 20, False), ("lt", "20", "low", False), ("gt", "-5", "-4", True),
            ("gt", "0", float("inf"), False), ("gt", "0", float("nan"), False),
        ],
    )  # fmt: skip
    def test_a_value_is_compared_as_a_number_where_both_are(self, comparison: str, wanted: str, value: object, so: bool) -> None:
        condition = Condition("value", comparison, wanted)
        found = condition.found({"value": value})
        assert found is not None
        assert condition.holds(found, None) is so

    def test_a_field_may_lie_deeper_and_other_messages_do_not_count(self) -> None:
        condition = Condition("now.level", "lt", "5", "number", "10")
        assert condition.found({"now": {"level": 3}, "number": 10}) == "3"
        assert condition.found({"now": {"level": 3}, "number": 11}) is None
        assert condition.found({"now": 3, "number": 10}) is None
        assert condition.found({"now": {"level": [3]}, "number": 10}) is None

    @pytest.mark.parametrize("payload", ["", "7", "[1]", "{", "[" * 100_000, '{"value": ' + "9" * 5000 + "}"])
    def test_what_is_no_object_has_no_fields(self, payload: str) -> None:
        assert read_fields(payload) is None


class TestGaps:
    def test_only_known_names_are_filled_and_what_is_filled_in_is_not_looked_at(self) -> None:
        filled = gaps.fill("{device} {value} {{x}} {device.__class__} {0}", {"device": "{value}", "value": "3"})
        assert filled == "{value} 3 {{x}} {device.__class__} {0}"

    def test_an_unknown_one_is_named(self) -> None:
        with pytest.raises(gaps.UnknownGap, match="{colour} is not known"):
            gaps.check("{device} {colour}", RULE_VARIABLES)


class TestTelling:
    def test_somebody_is_told_with_the_value(self, make: Callable[..., Rule], say: Say) -> None:
        make(message="{device} is at {value} <b>\r\nBcc: eve@example.com")
        say({"value": 12})
        outbox.deliver()
        assert told() == ["Pump is at 12 <b>\nBcc: eve@example.com"]
        assert mail.outbox[0].subject == "Pump: value is 12"
        assert list(mail.outbox[0].to) == ["alice@example.org"]

    def test_not_more_often_than_it_may(self, make: Callable[..., Rule], say: Say) -> None:
        make(every_minutes=15)
        for minute in (0, 1, 14.9, 15, 16):
            say({"value": minute}, minute)
        assert told() == ["Pump: value of get_level is 0.", "Pump: value of get_level is 15."]

    def test_a_bridge_that_reads_a_message_again_tells_it_once(self, make: Callable[..., Rule], say: Say) -> None:
        make(every_minutes=1)
        one = say({"value": 1})
        rule_book.book._rules.clear()  # another bridge
        rules.notice([one])
        rules.notice([one])
        assert len(told()) == 1

    def test_a_change_is_told_against_what_was_told_last(self, make: Callable[..., Rule], say: Say) -> None:
        make(comparison="changes", value="7", every_minutes=10)
        for minute, value in ((0, "shut"), (1, "shut"), (2, "open"), (3, "shut"), (4, "ajar"), (13, "ajar"), (30, "ajar")):
            say({"value": value}, minute)
        assert told() == ["Pump: value of get_level is open.", "Pump: value of get_level is ajar."]

    def test_other_messages_say_nothing(self, make: Callable[..., Rule], say: Say, account: Account) -> None:
        make()
        other = make_device(account, "Valve")
        say({"value": 1}, api="get_height")
        say({"value": 1}, device_id=other.pk)
        say({"value": 1}, account_id=uuid4())  # said before the device came into this account
        say({"level": 1})
        say("not json")
        assert told() == []

    def test_one_that_was_changed_counts_at_once(
        self, make: Callable[..., Rule], say: Say, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
    ) -> None:
        committed = partial(django_capture_on_commit_callbacks, execute=True)
        rule = make()
        say({"value": 50})
        rule.value = "60"
        with committed():
            rules.save(rule=rule)
        say({"value": 51})
        with committed():
            rules.switch(rule=rule, on=False)
        say({"value": 52}, 60)
        with committed():
            rules.delete(rule=rule)
        say({"value": 53}, 120)
        assert told() == ["Pump: value of get_level is 51."]

    def test_characters_that_no_database_takes_stop_nothing(self, make: Callable[..., Rule], say: Say) -> None:
        make(comparison="ne", value="x")
        say('{"value": "a\\u0000\\ud800b\\u202e"}')
        assert told() == ["Pump: value of get_level is ab."]

    def test_a_batch_costs_one_query_and_the_next_none(
        self, make: Callable[..., Rule], say: Say, device: Device, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        make()
        strangers = [DeviceMessage(uuid4(), START, device.account_id, uuid4(), "get_level", '{"value": 1}') for _ in range(50)]
        with django_assert_num_queries(1):
            rules.notice(strangers)
        with django_assert_num_queries(0):
            rules.notice(strangers)

    def test_a_device_that_leaves_takes_its_rules_along(
        self, make: Callable[..., Rule], device: Device, account: Account
    ) -> None:
        other = make_device(account, "Valve")
        make()
        rules.save(rule=Rule(
            device=other, account=account, api="a", field="b", comparison="eq", value="1", recipient=device.hex
        ))  # fmt: skip
        rules.leave(device)
        assert not Rule.objects.filter(account=account).exists()


class TestFailures:
    def test_a_command_that_failed_is_told_by_its_api_or_any(self, make: Callable[..., Rule], device: Device) -> None:
        make(comparison="fails", api="set_gpio", field="", value="9", every_minutes=5)
        make(comparison="fails", api="*", field="", message="{api}: {value}")
        failed = [
            FailedCommand(uuid4(), START + timedelta(minutes=minute), device.account_id, device.pk, api, outcome)
            for minute, api, outcome in (
                (0, "set_gpio", "timeout"),
                (1, "set_gpio", "malformed"),
                (30, "get_rtc", "device_error"),
            )
        ]
        for one in failed:
            rules.notice_failures([one])
        assert told() == [
            "Pump: the command set_gpio failed (no answer).", "set_gpio: no answer", "get_rtc: error from the device",
        ]  # fmt: skip

    def test_what_a_device_says_is_no_failure(self, make: Callable[..., Rule], say: Say) -> None:
        make(comparison="fails", api="get_level", field="")
        say({"outcome": "timeout"})
        assert told() == []


class TestMaking:
    @pytest.mark.parametrize(
        ("over", "field"),
        [
            ({"api": "trigger_notification"}, "api"), ({"value": "low"}, "value"), ({"only_field": "number"}, "only_value"),
            ({"recipient": "nobody"}, "recipient"), ({"recipient": "a@example.com\r\nBcc: b@example.com"}, "recipient"),
            ({"message": "{settings}"}, "message"), ({"field": " "}, "field"),
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_refused(self, make: Callable[..., Rule], over: dict[str, str], field: str) -> None:
        with pytest.raises(rules.RuleRefused) as refused:
            make(**over)
        assert refused.value.field == field

    def test_devices_do_not_write_to_themselves_in_a_circle(
        self, make: Callable[..., Rule], device: Device, account: Account
    ) -> None:
        with pytest.raises(rules.RuleRefused, match="circle"):
            make(recipient=device.hex)
        second = make_device(account, "Valve")
        make(recipient=second.hex)
        back = Rule(device=second, account=account, api="a", field="b", comparison="eq", value="1", recipient=device.hex)
        with pytest.raises(rules.RuleRefused, match="circle"):
            rules.save(rule=back)
        Rule.objects.update(enabled=False)
        rules.save(rule=back)
        with pytest.raises(rules.RuleRefused, match="circle"):
            rules.switch(rule=Rule.objects.get(device=device), on=True)

    @pytest.mark.django_db(transaction=True)
    def test_while_one_is_kept_notifications_of_the_account_are_not_held_up(self, make: Callable[..., Rule]) -> None:
        rule = make()

        def take() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '2s'")
            intake.take(
                account_id=rule.account_id, cause=Cause.RULE, source="meanwhile", recipient="alice@example.org", message="Hot"
            )

        with transaction.atomic():
            rules.save(rule=rule)
            at_once(take)
        assert Notification.objects.filter(source="meanwhile").exists()

    @pytest.mark.parametrize("moved", [False, True])
    def test_one_that_is_gone_meanwhile_does_not_come_back(self, make: Callable[..., Rule], moved: bool) -> None:
        rule = make()
        if moved:
            rules.leave(rule.device)
            Device.objects.filter(pk=rule.device_id).update(account=make_account("bob"))
        else:
            rules.delete(rule=Rule.objects.get(pk=rule.pk))
        with pytest.raises(rules.RuleRefused, match=r"any more|meanwhile"):
            rules.switch(rule=rule, on=False)
        assert not Rule.objects.filter(pk=rule.pk).exists()

    def test_a_device_has_so_many_and_no_more(self, make: Callable[..., Rule], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rules, "PER_DEVICE", 2)
        make()
        make()
        with pytest.raises(rules.RuleRefused, match="at most 2 rules"):
            make()


class TestPages:
    def test_one_is_made_tried_switched_and_deleted(self, device: Device, account: Account, client: Client) -> None:
        client.force_login(account.members.get())
        about = {
            "device": str(device.pk), "api": "get_level", "field": "value", "comparison": "lt", "value": "20",
            "recipient": "alice@example.org", "every_minutes": "60",
        }  # fmt: skip
        assert client.post("/notifications/rules/new/", {**about, "value": "low"}).status_code == 400
        assert client.post("/notifications/rules/new/", about).status_code == 302
        rule = Rule.objects.get(account=account)
        place = f"/notifications/rules/{rule.hex}/"
        assert "get_level: value is below 20" in client.get("/notifications/rules/").content.decode()
        tried = [client.post(place + "test/", {"key": "once"}) for _ in range(2)]
        assert tried[0].headers["Location"] == tried[1].headers["Location"]
        outbox.deliver()
        assert [one.subject for one in mail.outbox] == ["Test: Pump: value is 20"]
        assert client.post(place, {**about, "every_minutes": "5", "message": "{value}!"}).status_code == 302
        client.post(place + "switch/", {"on": "0"})
        rule.refresh_from_db()
        assert (rule.enabled, rule.every_minutes, rule.message) == (False, 5, "{value}!")
        client.post(place + "delete/")
        assert "No rules yet" in client.get("/notifications/rules/").content.decode()

    def test_another_accounts_device_cannot_be_chosen(self, device: Device, client: Client) -> None:
        bob = make_account("bob")
        client.force_login(bob.members.get())
        about = {"device": str(device.pk), "api": "a", "field": "b", "comparison": "changes", "recipient": "bob@example.org"}
        assert client.post("/notifications/rules/new/", {**about, "every_minutes": 5}).status_code == 400
        assert not Rule.objects.filter(device=device).exists()

    def test_whoever_may_only_look_changes_nothing(self, make: Callable[..., Rule], account: Account, client: Client) -> None:
        rule = make()
        client.force_login(make_member(account, "vera", Role.VIEWER))
        assert rule.condition in client.get("/notifications/rules/").content.decode()
        assert client.post(f"/notifications/rules/{rule.hex}/delete/").status_code == 403


def test_a_program_makes_changes_tries_and_deletes_one(device: Device, account: Account) -> None:
    api = caller(account)
    about = {
        "device": device.hex, "api": "get_gpio", "field": "value", "comparison": "changes", "only_field": "number",
        "only_value": "10", "recipient": "alice@example.org",
    }  # fmt: skip
    made = api.post("/api/v1/rules", about)
    assert (made.status_code, made.json()["every_minutes"]) == (201, 15)
    place = f"/api/v1/rules/{made.json()['id']}"
    assert api.patch(place, {"message": "{colour}"}).json()["errors"].keys() == {"message"}
    assert api.patch(place, {"device": device.hex}).status_code == 400
    assert api.patch(place, {"enabled": False}).json()["enabled"] is False
    assert api.post(place + "/test").json()["cause"] == "rule"
    assert [one["id"] for one in api.get("/api/v1/rules").json()] == [made.json()["id"]]
    stranger = caller(make_account("bob"))
    assert stranger.get(place).status_code == stranger.delete(place).status_code == 404
    assert stranger.post("/api/v1/rules", about).status_code == 404
    assert api.delete(place).status_code == 204
