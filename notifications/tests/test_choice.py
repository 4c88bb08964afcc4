"""Which sender is asked first."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from notifications.channels.base import Outgoing, Sender, SenderAway
from notifications.models import Notification, SenderHealth, Tariff
from notifications.services import choice, outbox
from notifications.services.choice import Choice
from notifications.tests.conftest import Ask, MailServer


class Vendor(Sender):
    channel = "sms"

    def __init__(self, name: str) -> None:
        self.name = name

    def send(self, message: Outgoing) -> str:
        return ""


TWILIO, VONAGE, SNS = (Vendor(name) for name in ("twilio", "vonage", "sns"))
ALL = [TWILIO, VONAGE, SNS]


@pytest.fixture
def desk(db: None) -> Choice:
    return Choice()


def order(desk: Choice, country: str = "SE") -> list[str]:
    desk.look()
    return [one.name for one in desk.order(ALL, country)]


def price(sender: Sender, amount: str, country: str = "", days: int = -1) -> None:
    starts = timezone.now() + timedelta(days=days)
    Tariff.objects.create(sender=sender.name, country=country, amount=Decimal(amount), starts_at=starts)


def fail(desk: Choice, sender: Sender, times: int) -> None:
    for _ in range(times):
        desk.failed(sender, SenderAway("server_away", "no connection"))


def test_without_prices_they_are_asked_as_the_settings_have_them(desk: Choice) -> None:
    assert order(desk) == ["twilio", "vonage", "sns"]


def test_the_cheapest_for_the_country_is_first_and_one_without_a_price_last(desk: Choice) -> None:
    price(TWILIO, "0.05")
    price(SNS, "0.06")
    price(SNS, "0.04", "SE")
    price(SNS, "0.01", "SE", days=1)  # has not begun
    assert order(desk) == ["sns", "twilio", "vonage"]
    assert order(desk, "DE") == ["twilio", "sns", "vonage"]
    price(SNS, "0.09", "SE", days=0)
    assert order(desk) == ["twilio", "sns", "vonage"]


def test_one_that_was_away_again_and_again_comes_after_the_others_for_a_while(desk: Choice) -> None:
    price(TWILIO, "0.01")
    fail(desk, TWILIO, choice.AVOIDED_AFTER - 1)
    assert order(desk)[0] == "twilio"
    fail(desk, TWILIO, 1)
    assert order(Choice()) == ["vonage", "sns", "twilio"]  # other workers know too
    SenderHealth.objects.update(avoided_until=timezone.now())
    assert order(desk)[0] == "twilio"
    fail(desk, TWILIO, 1)
    health = SenderHealth.objects.get(sender="twilio")
    assert health.avoided_until is not None
    assert timedelta(seconds=55) < health.avoided_until - timezone.now() <= timedelta(seconds=60)
    fail(desk, TWILIO, 20)
    health.refresh_from_db()
    assert health.avoided_until - timezone.now() <= timedelta(seconds=600)


def test_one_word_from_it_and_it_is_well_again(desk: Choice, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    fail(desk, TWILIO, 5)
    desk.look()
    desk.took(TWILIO)
    assert order(desk)[0] == "twilio"
    health = SenderHealth.objects.get(sender="twilio")
    assert (health.failures, health.detail) == (0, "no connection")
    assert health.recovered_at is not None
    with django_assert_num_queries(0):  # what is well costs nothing
        desk.took(TWILIO)


def test_one_alone_is_asked_however_it_is(ask: Ask, mail_server: MailServer) -> None:
    mail_server.answer = "421 too busy"
    one = ask()
    for _ in range(4):
        Notification.objects.filter(pk=one.pk).update(due_at=timezone.now())
        outbox.deliver()
    health = SenderHealth.objects.get(sender="smtp")
    assert (health.failures, health.detail) == (4, "421 too busy")
    assert health.avoided_until is not None
    mail_server.answer = "250 OK"
    Notification.objects.filter(pk=one.pk).update(due_at=timezone.now())
    outbox.deliver()
    one.refresh_from_db()
    health.refresh_from_db()
    assert (one.status, health.failures) == ("sent", 0)
