"""What a message would cost is said before it is sent, and is what is paid then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from accounts.models import Account, ApiToken, Role
from billing.services import balance, give_credits
from devices.models import Device
from devices.tests.factories import make_account, make_member
from notifications.models import Lot, Notification, Recipient, Suppression
from notifications.segments import parts
from notifications.services import estimates, outbox
from notifications.services.estimates import Estimate
from notifications.tests.conftest import Ask
from notifications.tests.test_api import caller

NUMBER = "+46701234567"
OPS = "ops@example.com"


@pytest.fixture
def others(account: Account, settings: Settings) -> None:
    """Let the account write to OPS and, by SMS, to NUMBER."""
    settings.SENDERS = replace(settings.SENDERS, sms=("twilio",), twilio_url="http://127.0.0.1:9")
    account.members.update(phone=NUMBER, phone_verified=True)
    Recipient.objects.create(account=account, channel="email", address=OPS, confirmed_at=timezone.now())


def told(device: Device, recipient: str, message: str = "Hot") -> tuple[Estimate, str]:
    found = estimates.estimate(account=device.account, recipient=recipient, message=message, device=device)
    return found, " ".join(estimates.in_words(found)).strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("å" * 160, 1), ("€" * 80, 1), ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 151, 2), ("a" * 152 + "€" + "a" * 152, 3),  # € is not divided between two
        ("ж" * 70, 1), ("ж" * 71, 2), ("🌡" * 35, 1), ("🌡" * 36, 2), ("🌡" * 67, 3), ("`", 1), ("`" * 71, 2),
    ],
)  # fmt: skip
def test_an_sms_is_counted_as_carriers_do(text: str, expected: int) -> None:
    assert parts(text) == expected


def test_what_is_said_is_what_is_paid(device: Device, ask: Ask, others: None) -> None:
    give_credits(account=device.account, credits=2, reason="Welcome", key="gift")
    for credits, words in (
        (1, "It costs 1 credit, which pays for 10 such."), (0, "It costs nothing more: 9 such are paid already."),
    ):  # fmt: skip
        found, sentence = told(device, OPS.upper())
        assert (found.credits, sentence, found.recipient) == (credits, words, OPS)
        one = ask(OPS)
        outbox.deliver()
        one.refresh_from_db()
        assert (one.status, one.credits) == ("sent", credits)
    assert told(device, "alice@example.org")[1] == "It costs nothing."
    assert told(device, "push:")[0].reason == "no_browser"
    device.account.members.get().browsers.create(name="Fox", endpoint="https://push.example.com/estimate", p256dh="x", auth="x")
    assert told(device, "push:")[1] == "It costs nothing."


def test_of_an_sms_the_parts_and_the_country_are_told_and_that_it_is_cut(device: Device, others: None) -> None:
    assert told(device, NUMBER)[0].reason == "no_credits"
    assert told(device, NUMBER)[1] == "It costs 10 credits, and there are not enough. An SMS of 1 part to SE."
    give_credits(account=device.account, credits=10, reason="Welcome", key="gift")
    give_credits(account=device.account, credits=60, reason="More", key="more")
    found, words = told(device, "+46 70 123 45 67", "a" * 155)  # with "Pump: " before it
    assert (found.recipient, found.segments, found.country, found.is_cut) == (NUMBER, 2, "SE", False)
    assert words == "It costs 20 credits. An SMS of 2 parts to SE."
    cut = "It costs {} credits. An SMS of {} parts to SE. It is cut after 459 characters."
    assert told(device, NUMBER, "a" * 1000)[1] == cut.format(30, 3)
    assert told(device, NUMBER, "ж" * 1000)[1] == cut.format(70, 7)


@pytest.mark.parametrize(
    ("recipient", "reason"),
    [("nobody", "bad_recipient"), ("stranger@example.com", "unconfirmed"), ("webhook:none", "unknown_name"),
     ("0" * 32, "not_yours"), ("+46701234568", "unconfirmed_phone"),
     ("a@example.com\r\nBcc: b@example.com", "bad_recipient"), ("", "bad_recipient")],
)  # fmt: skip
def test_what_would_not_be_sent_is_told_with_the_reason(device: Device, others: None, recipient: str, reason: str) -> None:
    found, words = told(device, recipient)
    assert found.reason == reason
    assert words.startswith("It would not be sent. ")


def test_of_a_strangers_address_nobody_is_told_what_came_of_it_for_others(device: Device, others: None) -> None:
    for address in (OPS, "stranger@example.com", "alice@example.org"):
        Suppression.objects.create(channel="email", address=address, reason="bounced")
    assert [told(device, one)[0].reason for one in (OPS, "stranger@example.com", "alice@example.org")] == [
        "bounced", "unconfirmed", "bounced",
    ]  # fmt: skip
    Suppression.objects.create(account=device.account, channel="email", address="gone@example.com", reason="unsubscribed")
    assert told(device, "gone@example.com")[0].reason == "unsubscribed"


def test_asking_keeps_counts_and_pays_nothing(device: Device, others: None) -> None:
    give_credits(account=device.account, credits=10, reason="Welcome", key="gift")
    for recipient in (OPS, NUMBER, "alice@example.org"):
        told(device, recipient)
    assert balance(device.account) == 10
    assert not Lot.objects.filter(account=device.account).exists()
    assert not Notification.objects.filter(account=device.account).exists()


def test_many_cost_as_few_queries_as_two(
    device: Device, others: None, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    rows = [estimates.row(account=device.account, recipient=OPS, message=f"{number}", device=device) for number in range(50)]
    with django_assert_max_num_queries(8):
        estimates.estimates(rows)


class TestPages:
    @pytest.fixture
    def place(self, client: Client, device: Device, others: None) -> str:
        client.force_login(device.account.members.get())
        return f"/devices/{device.hex}/notifications/cost/"

    def test_a_script_gets_the_words_and_before_there_is_a_recipient_the_prices(self, client: Client, place: str) -> None:
        form = {"to": "email", "email": OPS, "message": "Hot"}
        said = client.post(place, form, headers={"HX-Request": "true"}).content.decode()
        assert "It costs 1 credit, and there are not enough." in said
        assert "<html" not in said
        half = client.post(place, {**form, "email": "ops"}, headers={"HX-Request": "true"})
        assert half.status_code == 200
        assert "Each part of an SMS costs 10 credits." in half.content.decode()

    def test_without_a_script_it_is_the_page_with_what_was_typed(self, client: Client, place: str, device: Device) -> None:
        page = client.post(place, {"to": "sms", "phone": NUMBER, "message": "<b>Hot</b>"}).content.decode()
        assert "It costs 10 credits, and there are not enough." in page
        assert f'value="{NUMBER}"' in page
        assert 'value="&lt;b&gt;Hot&lt;/b&gt;"' in page
        assert client.post(place, {"to": "email", "email": "ops"}).status_code == 400
        assert not Notification.objects.filter(account=device.account).exists()

    def test_rules_recipients_and_sending_again_have_it_too(self, client: Client, place: str, ask: Ask, device: Device) -> None:
        device.account.notification_rules.create(
            device=device, api="get_gpio", field="value", comparison="eq", value="1", recipient=OPS
        )
        again = f"/notifications/{ask(OPS).hex}/"
        for page in ("/notifications/rules/", "/notifications/recipients/", again):
            assert "It costs 1 credit, and there are not enough." in client.get(page).content.decode()

    def test_others_and_those_who_look_on_learn_nothing(self, client: Client, place: str, device: Device) -> None:
        form = {"to": "email", "email": OPS, "message": "Hot"}
        client.force_login(make_account("bob").members.get())
        assert client.post(place, form).status_code == 404
        client.force_login(make_member(device.account, "vera", Role.VIEWER))
        assert client.post(place, form).status_code == 403


def test_a_program_asks_the_same(device: Device, others: None) -> None:
    api, path = caller(device.account), "/api/v1/notifications/estimate"
    give_credits(account=device.account, credits=10, reason="Welcome", key="gift")
    answer = api.post(path, {"recipient": NUMBER, "message": "Hot", "device": device.hex})
    assert (answer.status_code, answer.json()) == (200, {
        "channel": "sms", "recipient": NUMBER, "credits": 10, "pays_for": 1, "left": 0, "country": "SE", "segments": 1,
        "is_cut": False, "reason": "", "reason_text": "",
    })  # fmt: skip
    assert api.post(path, {"recipient": "nobody"}).json()["reason"] == "bad_recipient"
    assert api.post(path, {"recipient": OPS, "key": "one"}).status_code == 400
    assert caller(make_account("bob")).post(path, {"recipient": OPS, "device": device.hex}).status_code == 404
    reader: APIClient = caller(device.account, ApiToken.Scope.READ)
    assert reader.post(path, {"recipient": OPS}).status_code == 403
