"""SMS: Twilio through its own SDK against a server that speaks its HTTP, SNS against moto, and the receipts."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from pytest_django import Settings
from twilio.request_validator import RequestValidator

from accounts import code_channels
from accounts.code_channels import CodeNotSent, Purpose
from accounts.models import Account
from billing.models import Price
from billing.services import balance, give_credits, verify_ledger
from notifications.codes import SmsCodes
from notifications.models import Lot, Notification, QuietHours, SenderHealth
from notifications.services import estimates, outbox, quiet
from notifications.tests.conftest import Ask

NUMBER = "+46701234567"


class Twilio:
    """What of Twilio's API a message needs."""

    def __init__(self) -> None:
        self.taken: list[dict[str, str]] = []
        self.error: tuple[int, int] | None = None  # status and Twilio's code
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                status = 201
                body: dict[str, object] = {"sid": f"SM{len(outer.taken)}", "status": "queued"}
                if outer.error is not None:
                    status, code = outer.error
                    body = {"code": code, "message": f"No, {form['To']}", "status": status}
                else:
                    outer.taken.append({**form, "path": self.path, "auth": self.headers["Authorization"]})
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def twilio(settings: Settings) -> Iterator[Twilio]:
    found = Twilio()
    about = {"twilio_account": "AC1", "twilio_token": "secret", "twilio_from": "+15005550006", "twilio_url": found.url}
    settings.SENDERS = replace(settings.SENDERS, sms=("twilio",), **about)
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def phone(account: Account) -> str:
    account.members.update(phone=NUMBER, phone_verified=True)
    give_credits(account=account, credits=30, reason="Welcome", key="gift")
    return NUMBER


def receipt(key: str, status: str, token: str = "secret") -> int:
    form = {"MessageSid": key, "MessageStatus": status}
    signature = RequestValidator(token).compute_signature("http://localhost/receipts/twilio/", form)
    return Client(enforce_csrf_checks=True).post("/receipts/twilio/", form, headers={"X-Twilio-Signature": signature}).status_code


def become(one: Notification) -> Notification:
    one.refresh_from_db()
    return one


def due(one: Notification, **values: object) -> None:
    Notification.objects.filter(pk=one.pk).update(due_at=timezone.now(), **values)


def night(account: Account) -> None:
    now = timezone.now()
    starts, ends = ((now + timedelta(hours=hours)).time().replace(microsecond=0) for hours in (-1, 1))
    quiet.set_hours(user=account.members.get(), starts=starts, ends=ends)


class TestTwilio:
    def test_an_sms_goes_out_is_paid_and_its_receipt_counts_once(
        self, ask: Ask, phone: str, twilio: Twilio, account: Account
    ) -> None:
        one = ask("+46 70 123 45 67", "Hot 🌡️")
        outbox.deliver()
        (taken,) = twilio.taken
        assert (taken["To"], taken["Body"], taken["path"]) == (phone, "Pump: Hot 🌡️", "/2010-04-01/Accounts/AC1/Messages.json")
        assert taken["StatusCallback"] == "http://localhost/receipts/twilio/"
        assert (become(one).status, one.credits, balance(account)) == ("sent", 10, 20)
        assert receipt("SM0", "sent") == 204
        assert [receipt("SM0", status) for status in ("delivered", "delivered", "failed")] == [204] * 3
        assert (become(one).status, balance(account)) == ("delivered", 20)

    @pytest.mark.parametrize("error", [(400, 21211), (429, 20429)])
    def test_the_number_is_in_no_word_of_the_vendor_and_in_no_log(
        self, ask: Ask, phone: str, twilio: Twilio, caplog: pytest.LogCaptureFixture, error: tuple[int, int]
    ) -> None:
        twilio.error = error
        one = ask(phone)
        outbox.deliver()
        kept = [become(one).detail, one.attempts.get().detail, *SenderHealth.objects.values_list("detail", flat=True)]
        assert set(kept) == {f"{error[1]}: Unable to create record: No, +…"}
        assert caplog.messages
        assert phone.removeprefix("+") not in caplog.text

    def test_one_that_did_not_arrive_is_given_back_once(self, ask: Ask, phone: str, twilio: Twilio, account: Account) -> None:
        one = ask(phone)
        outbox.deliver()
        assert [receipt("SM0", "undelivered") for _ in range(2)] == [204] * 2
        assert (become(one).status, one.paid, balance(account)) == ("failed", False, 30)

    def test_each_part_is_paid_and_given_back(
        self, ask: Ask, phone: str, twilio: Twilio, account: Account, client: Client
    ) -> None:
        one = ask(phone, "a" * 155)  # with "Pump: " before it
        outbox.deliver()
        assert (become(one).parts, one.credits, balance(account)) == (2, 20, 10)
        short = ask(phone, "a" * 155)
        outbox.deliver()
        assert (become(short).reason, balance(account), len(twilio.taken)) == ("no_credits", 10, 1)
        assert receipt("SM0", "undelivered") == 204
        assert (become(one).paid, balance(account)) == (False, 30)
        client.force_login(account.members.get())
        assert "20 credits for 2 parts, given back" in client.get(f"/notifications/{one.hex}/").content.decode()

    def test_parts_share_a_price_for_several_and_cost_what_was_said(
        self, ask: Ask, phone: str, twilio: Twilio, account: Account
    ) -> None:
        Price.objects.create(item="sms", country="SE", credits=4, per=5, starts_at=Now())

        def sent(text: str) -> tuple[int, int]:
            said = estimates.estimate(account=account, recipient=phone, message=text, device=account.devices.get())
            one = ask(phone, text)
            outbox.deliver()
            assert (become(one).status, one.credits) == ("sent", said.credits)
            return one.credits, Lot.objects.get(account=account).left

        three, seven = "a" * 400, "ж" * 453
        assert sent(three) == (4, 2)
        assert sent(three) == (4, 4)
        assert receipt("SM1", "undelivered") == 204
        assert sent(seven) == (0, 0)
        assert sent(seven) == (8, 3)
        assert balance(account) == 30 - 16
        verify_ledger()

    def test_a_forged_receipt_is_refused_and_an_unknown_one_is_nothing(self, ask: Ask, phone: str, twilio: Twilio) -> None:
        one = ask(phone)
        outbox.deliver()
        assert receipt("SM0", "delivered", token="guessed") == 403
        assert receipt("SM9", "delivered") == 204
        assert become(one).status == "sent"

    @pytest.mark.parametrize(
        ("error", "state"),
        [
            ((400, 21610), "failed"),
            ((400, 21211), "failed"),
            ((429, 20429), "queued"),
            ((500, 0), "queued"),
            ((401, 20003), "queued"),
        ],
    )
    def test_what_is_wrong_with_the_number_is_final_and_all_else_waits(
        self, ask: Ask, phone: str, twilio: Twilio, account: Account, error: tuple[int, int], state: str
    ) -> None:
        twilio.error = error
        one = ask(phone)
        outbox.deliver()
        assert become(one).status == state
        assert balance(account) == (30 if state == "failed" else 20)

    def test_a_worker_whose_claim_is_over_sends_no_second_one(self, ask: Ask, phone: str, twilio: Twilio) -> None:
        one = ask(phone)
        late = outbox.claim("sms")
        Notification.objects.filter(pk=one.pk).update(due_at=timezone.now())
        outbox.deliver()
        with ExitStack() as held:
            outbox.Desk(held).handle(late)
        assert (become(one).status, len(twilio.taken)) == ("sent", 1)

    def test_a_carrier_whose_name_cannot_be_looked_up_has_sent_nothing_and_is_asked_again(
        self, ask: Ask, phone: str, twilio: Twilio, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look_up = socket.getaddrinfo

        def unknown(host: str, *about: Any, **more: Any) -> Any:
            if host == "api.example.com":
                raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
            return look_up(host, *about, **more)

        settings.SENDERS = replace(settings.SENDERS, twilio_url="http://api.example.com")
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        one = ask(phone)
        outbox.deliver()
        assert (become(one).status, one.reason) == ("queued", "server_away")

    def test_an_sms_that_may_be_out_already_is_not_sent_again(self, ask: Ask, phone: str, twilio: Twilio) -> None:
        one = ask(phone)
        Notification.objects.filter(pk=one.pk).update(reason=outbox.SENDING, judged_at=timezone.now())  # a worker was killed
        outbox.deliver()
        assert (become(one).status, one.reason, twilio.taken) == ("failed", "unclear", [])

    @pytest.mark.parametrize("tried", [False, True], ids=["untried", "tried in the evening"])
    def test_what_the_night_held_is_tried_on_in_the_morning(
        self, ask: Ask, phone: str, twilio: Twilio, account: Account, tried: bool
    ) -> None:
        one, evening = ask(phone), timezone.now() - timedelta(hours=9)
        twilio.error = (500, 0)
        if tried:
            outbox.deliver()
            due(one, judged_at=evening)
        night(account)
        due(one, created_at=evening)
        outbox.deliver()
        assert (become(one).reason, len(one.attempts.all())) == ("quiet_hours", int(tried))
        QuietHours.objects.all().delete()
        for _ in range(2):
            due(one)
            outbox.deliver()
            assert become(one).status == "queued"
        due(one, judged_at=timezone.now() - timedelta(hours=1, seconds=1))
        outbox.deliver()
        assert (become(one).status, one.reason, balance(account)) == ("failed", "gave_up", 30)

    def test_one_that_may_be_out_is_not_held_by_the_night_to_be_sent_again(
        self, ask: Ask, phone: str, twilio: Twilio, account: Account
    ) -> None:
        one = ask(phone)
        night(account)
        due(one, reason=outbox.SENDING, judged_at=timezone.now())  # a worker was killed
        outbox.deliver()
        assert (become(one).status, one.reason, twilio.taken) == ("failed", "unclear", [])

    def test_a_number_that_nobody_confirmed_gets_nothing(self, ask: Ask, account: Account, twilio: Twilio) -> None:
        account.members.update(phone=NUMBER, phone_verified=False)
        one = ask(NUMBER)
        outbox.deliver()
        assert (become(one).reason, twilio.taken) == ("unconfirmed_phone", [])

    @pytest.mark.parametrize("number", ["+46939123456", "+449098790000"])
    def test_premium_rate_numbers_are_no_recipients(self, ask: Ask, number: str) -> None:
        assert ask(number).reason == "bad_recipient"

    def test_a_code_goes_by_sms_too(self, account: Account, twilio: Twilio) -> None:
        user = account.members.get()
        SmsCodes().send(user=user, address=NUMBER, code="123456", purpose=Purpose.CONFIRM_PHONE)
        assert twilio.taken[0]["Body"].startswith("123456 is your code to confirm this phone number")
        twilio.error = (500, 0)
        with pytest.raises(CodeNotSent):
            SmsCodes().send(user=user, address=NUMBER, code="123456", purpose=Purpose.CONFIRM_PHONE)
        assert code_channels.find("sms") is None  # nobody set a sender up for this process


def test_sns_sends_by_the_vendors_own_library(ask: Ask, phone: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto import mock_aws
    from moto.sns.models import sns_backends

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    settings.SENDERS = replace(settings.SENDERS, sms=("sns",), aws_region="eu-north-1")
    with mock_aws():
        one = ask(phone, "Hot")
        outbox.deliver()
        (said,) = sns_backends["123456789012"]["eu-north-1"].sms_messages.values()
        assert said[:2] == (NUMBER, "Pump: Hot")
    assert become(one).status == "sent"


def test_the_next_sender_is_asked_where_the_first_is_away(
    ask: Ask, phone: str, twilio: Twilio, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    settings.SENDERS = replace(settings.SENDERS, sms=("sns", "twilio"), aws_region="eu-north-1", aws_url="http://127.0.0.1:9")
    one = ask(phone)
    outbox.deliver()
    assert become(one).status == "sent"
    assert [(try_.sender, try_.outcome) for try_ in one.attempts.all()] == [("sns", "temporary"), ("twilio", "accepted")]


def test_the_next_sender_is_asked_where_the_first_may_not_write_to_that_country(
    ask: Ask, phone: str, twilio: Twilio, settings: Settings, account: Account
) -> None:
    settings.SENDERS = replace(
        settings.SENDERS, sms=("twilio", "vonage"), vonage_host="127.0.0.1:9", vonage_key="k", vonage_secret="s"
    )  # fmt: skip
    twilio.error = (400, 21408)
    one = ask(phone)
    outbox.deliver()
    assert [(try_.sender, try_.outcome) for try_ in one.attempts.all()] == [("twilio", "permanent"), ("vonage", "temporary")]
    assert become(one).status == "queued"
    settings.SENDERS = replace(settings.SENDERS, sms=("twilio",))
    due(one)
    outbox.deliver()
    assert (become(one).status, balance(account)) == ("failed", 30)
