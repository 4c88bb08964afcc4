"""SMS by Vonage and by AWS End User Messaging, through their own SDKs, and what they say afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import boto3
import pytest
from botocore import validate
from django.test import Client
from pytest_django import Settings
from vonage_http_client.auth import Auth

from accounts.models import Account
from billing.services import balance, give_credits
from notifications import aws_events
from notifications.models import Notification
from notifications.services import outbox
from notifications.tests.conftest import Ask
from notifications.tests.http_server import Asked, Vendor, certificate, serve

NUMBER = "+46701234567"


@pytest.fixture
def phone(account: Account) -> str:
    account.members.update(phone=NUMBER, phone_verified=True)
    give_credits(account=account, credits=30, reason="Welcome", key="gift")
    return NUMBER


@pytest.fixture
def vonage(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Vendor]:
    with serve(Vendor(), certificate("127.0.0.1", tmp_path)) as vendor:  # its SDK speaks TLS alone
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
        about = {"vonage_key": "k", "vonage_secret": "s", "vonage_signature": "sign", "vonage_from": "Portal"}
        settings.SENDERS = replace(settings.SENDERS, sms=("vonage",), vonage_host=f"127.0.0.1:{vendor.port}", **about)
        vendor.answer = lambda asked: (200, {"message-count": "1", "messages": [{"status": "0", "message-id": "V1"}]})
        yield vendor


def after(one: Notification) -> tuple[str, str]:
    outbox.deliver()
    one.refresh_from_db()
    return one.status, one.reason


def receipt(as_json: bool = False, secret: str = "sign", **over: Any) -> int:
    fields = {"messageId": "V1", "status": "delivered", "timestamp": str(int(time.time())), **over}
    fields["sig"] = Auth(api_key="k", signature_secret=secret, signature_method="sha256").sign_params(fields)
    more: dict[str, Any] = {"data": json.dumps(fields), "content_type": "application/json"} if as_json else {"data": fields}
    return Client(enforce_csrf_checks=True).post("/receipts/vonage/", **more).status_code


class TestVonage:
    @pytest.mark.parametrize(("text", "kind"), [("Hot", "text"), ("Heiß 🌡️", "unicode")])
    def test_an_sms_goes_out_and_its_receipt_counts(self, ask: Ask, phone: str, vonage: Vendor, text: str, kind: str) -> None:
        one = ask(phone, text)
        assert after(one) == ("sent", "")
        form = dict(parse_qsl(vonage.asked[0].body.decode()))
        assert (vonage.asked[0].path, form["to"], form["from"], form["text"]) == (
            "/sms/json",
            NUMBER[1:],
            "Portal",
            f"Pump: {text}",
        )
        assert (form["type"], form["callback"], form["client-ref"]) == (kind, "http://localhost/receipts/vonage/", one.hex)
        assert receipt(as_json=kind == "text") == 204
        assert after(one) == ("delivered", "")

    @pytest.mark.parametrize(
        ("code", "state"), [("3", "failed"), ("7", "failed"), ("1", "queued"), ("4", "queued"), ("9", "queued"), ("12", "queued")]
    )
    def test_what_is_wrong_with_the_number_is_final_and_all_else_waits(
        self, ask: Ask, phone: str, vonage: Vendor, account: Account, code: str, state: str
    ) -> None:
        said = {"message-count": "1", "messages": [{"status": code, "error-text": "No"}]}
        vonage.answer = lambda _asked: (200, said)
        assert after(ask(phone))[0] == state
        assert balance(account) == (30 if state == "failed" else 20)

    def test_an_answer_that_is_lost_is_not_asked_for_again(self, ask: Ask, phone: str, vonage: Vendor) -> None:
        def hang_up(_asked: Asked) -> tuple[int, object]:
            raise ConnectionError

        vonage.answer = hang_up
        assert after(ask(phone)) == ("failed", "unclear")
        assert len(vonage.asked) == 1

    def test_a_forged_or_an_old_receipt_is_refused(self, ask: Ask, phone: str, vonage: Vendor) -> None:
        one = ask(phone)
        outbox.deliver()
        assert receipt(secret="guessed") == 403
        assert receipt(timestamp=str(int(time.time()) - 3600)) == 403
        for fields in ({}, {"sig": "ä" * 64, "timestamp": "1"}, {"messageId": "V1", "sig": "0" * 64}):
            assert Client().post("/receipts/vonage/", fields).status_code == 403
        assert Client().post("/receipts/vonage/", "[" * 100_000, content_type="application/json").status_code == 403
        assert receipt(messageId="V9") == 204  # a code, or another part: it is not to be told again
        assert after(one) == ("sent", "")

    def test_one_that_did_not_arrive_is_given_back_once(self, ask: Ask, phone: str, vonage: Vendor, account: Account) -> None:
        one = ask(phone)
        outbox.deliver()
        assert [receipt(status="rejected") for _ in range(2)] == [204, 204]
        assert (after(one)[0], balance(account)) == ("failed", 30)
        assert one.attempts.get().detail == "later: rejected"


class TestAwsSms:
    @pytest.fixture
    def aws(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        with serve(Vendor()) as vendor:
            vendor.answer = lambda _asked: (200, {"MessageId": "A1"})
            about = {"aws_region": "eu-north-1", "aws_url": vendor.url, "aws_origination": "IOT", "aws_configuration_set": "set"}
            settings.SENDERS = replace(settings.SENDERS, sms=("aws_sms",), **about)
            yield vendor

    def test_an_sms_goes_out_as_amazons_own_model_has_it(self, ask: Ask, phone: str, aws: Vendor) -> None:
        one = ask(phone, "Hot")
        assert after(one) == ("sent", "")
        (asked,) = aws.asked
        assert asked.headers["x-amz-target"] == "PinpointSMSVoiceV2.SendTextMessage"
        assert asked.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=testing/")
        said = json.loads(asked.body)
        model = boto3.client("pinpoint-sms-voice-v2", region_name="eu-north-1").meta.service_model
        shape = model.operation_model("SendTextMessage").input_shape
        assert not validate.ParamValidator().validate(said, shape).has_errors()
        assert (said["DestinationPhoneNumber"], said["MessageBody"], said["OriginationIdentity"]) == (NUMBER, "Pump: Hot", "IOT")
        assert one.attempts.get().vendor_id == "A1"

    @pytest.mark.parametrize(
        ("code", "reason", "state"),
        [
            ("ConflictException", "DESTINATION_PHONE_NUMBER_OPTED_OUT", ("failed", "unsubscribed")),
            ("ValidationException", "COUNTRY_NOT_ENABLED", ("failed", "refused_by_server")),
            ("ServiceQuotaExceededException", "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT", ("queued", "server_away")),
            ("ThrottlingException", "", ("queued", "server_away")),
            ("ConflictException", "SENDER_ID_ASSOCIATED_TO_POOL", ("queued", "refused_by_server")),
        ],
    )
    def test_what_amazon_refuses(self, ask: Ask, phone: str, aws: Vendor, code: str, reason: str, state: tuple[str, str]) -> None:
        aws.answer = lambda _asked: (400, {"__type": code, "Message": "No", "Reason": reason})
        assert after(ask(phone)) == state
        assert len(aws.asked) == 1

    @pytest.mark.parametrize(
        ("kind", "final", "state"),
        [
            ("TEXT_DELIVERED", True, "delivered"), ("TEXT_SENT", False, "sent"), ("TEXT_CARRIER_UNREACHABLE", True, "failed"),
            ("TEXT_TTL_EXPIRED", True, "failed"), ("TEXT_UNKNOWN", False, "sent"), ("TEXT_SUCCESSFUL", True, "sent"),
        ],
    )  # fmt: skip
    def test_what_it_says_afterwards(self, ask: Ask, phone: str, aws: Vendor, kind: str, final: bool, state: str) -> None:
        one = ask(phone)
        outbox.deliver()
        aws_events.take({"eventType": kind, "messageId": "A1", "isFinal": final}, {})
        assert after(one)[0] == state
