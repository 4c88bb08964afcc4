"""What mail providers say afterwards: by their own webhooks through django-anymail, and SES by SNS, signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from iotportal import env
from notifications.channels import sns_notices
from notifications.models import Attempt, Notification, Suppression
from notifications.services import outbox, receipts
from notifications.tests.conftest import Ask
from notifications.tests.http_server import Vendor, serve

ADDRESS = "alice@example.org"
TOPIC = "arn:aws:sns:eu-north-1:123456789012:mail"
CERTIFICATE = "https://sns.eu-north-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"


_REFUSED = ("failed", "refused_by_server")


def after(one: Notification) -> tuple[str, str]:
    outbox.deliver()
    one.refresh_from_db()
    return one.status, one.reason


def suppressed() -> list[str]:
    return list(Suppression.objects.filter(address=ADDRESS, account=None).values_list("reason", flat=True))


class TestPostmark:
    @pytest.fixture(autouse=True)
    def vendor(self, settings: Settings) -> Iterator[Vendor]:
        with serve(Vendor()) as found:
            about = {"POSTMARK_SERVER_TOKEN": "token", "POSTMARK_API_URL": found.url, "WEBHOOK_SECRET": "mail:password"}
            settings.ANYMAIL = {**settings.ANYMAIL, **about}
            settings.SENDERS = replace(settings.SENDERS, email=("postmark",))
            found.answer = lambda _asked: (200, {"ErrorCode": 0, "Message": "OK", "MessageID": "P1", "To": ADDRESS})
            yield found

    def tell(self, password: str = "mail:password", provider: str = "postmark", **said: Any) -> int:
        about = {"MessageID": "P1", "Email": ADDRESS, "Recipient": ADDRESS, "Tag": "", "Metadata": {}, **said}
        head = {"Authorization": f"Basic {base64.b64encode(password.encode()).decode()}"}
        client = Client(enforce_csrf_checks=True)
        return client.post(
            f"/receipts/mail/{provider}/", json.dumps(about), content_type="application/json", headers=head
        ).status_code

    bounce: ClassVar[dict[str, Any]] = {
        "RecordType": "Bounce",
        "Type": "HardBounce",
        "ID": 1,
        "Details": "550 no such user",
        "BouncedAt": "2026-11-27T09:00:00Z",
    }
    arrived: ClassVar[dict[str, Any]] = {"RecordType": "Delivery", "DeliveredAt": "2026-11-27T09:00:00Z"}

    def test_a_mail_goes_out_and_arrives(self, ask: Ask, vendor: Vendor) -> None:
        one = ask()
        assert after(one) == ("sent", "")
        assert vendor.asked[0].headers["x-postmark-server-token"] == "token"
        assert self.tell(**self.arrived) == 204
        assert after(one) == ("delivered", "")

    def test_one_that_comes_back_ends_there_and_nobody_writes_to_that_address_again(self, ask: Ask) -> None:
        one = ask()
        outbox.deliver()
        assert self.tell(**self.bounce) == 204
        assert after(one) == ("failed", "came_back")
        assert one.attempts.get().detail.startswith("later: ")
        assert suppressed() == ["bounced"]
        assert after(ask()) == ("refused", "bounced")

    def test_told_again_it_blocks_nobody_whom_somebody_let_in_again(self, ask: Ask) -> None:
        ask()
        outbox.deliver()
        self.tell(**self.bounce)
        Suppression.objects.filter(address=ADDRESS).delete()
        assert self.tell(**self.bounce) == 204
        assert suppressed() == []

    def test_told_again_it_counts_where_the_process_died_over_it(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        def die(**_about: object) -> None:
            raise SystemExit

        one = ask()
        outbox.deliver()
        with monkeypatch.context() as dying:
            dying.setattr(receipts, "came_back", die)
            with pytest.raises(SystemExit):
                self.tell(**self.bounce)
        assert self.tell(**self.bounce) == 204
        assert after(one) == ("failed", "came_back")
        assert suppressed() == ["bounced"]

    def test_a_complaint_counts_after_the_mail_arrived(self, ask: Ask) -> None:
        one = ask()
        outbox.deliver()
        self.tell(**self.arrived)
        assert self.tell(RecordType="SpamComplaint", Type="SpamComplaint", ID=2, BouncedAt="2026-11-27T09:00:00Z") == 204
        assert after(one) == ("delivered", "")
        assert suppressed() == ["complained"]

    def test_one_that_is_only_late_blocks_nobody(self, ask: Ask) -> None:
        one = ask()
        outbox.deliver()
        self.tell(RecordType="Bounce", Type="Transient", ID=3, BouncedAt="2026-11-27T09:00:00Z")
        assert (after(one)[0], suppressed()) == ("sent", [])

    def test_an_unknown_mail_or_another_address_blocks_nobody(self, ask: Ask) -> None:
        one = ask()
        outbox.deliver()
        assert self.tell(**self.bounce | {"MessageID": "P9"}) == 204
        assert self.tell(**self.bounce | {"Email": "bob@example.com"}) == 204
        assert after(one) == ("sent", "")
        assert not Suppression.objects.exists()

    def test_without_the_password_nothing_is_taken(self, ask: Ask, settings: Settings) -> None:
        one = ask()
        outbox.deliver()
        assert self.tell("mail:guessed", **self.bounce) == 403
        assert self.tell(provider="sendgrid", **self.bounce) == 404  # this portal does not send by it
        settings.ANYMAIL = {**settings.ANYMAIL, "WEBHOOK_SECRET": ""}
        assert self.tell(**self.bounce) == 404
        assert after(one) == ("sent", "")

    @pytest.mark.parametrize("body", ["", "[]", "{", "null", "[" * 50_000, '{"RecordType": []}'])
    def test_what_makes_no_sense_is_refused(self, body: str) -> None:
        head = {"Authorization": f"Basic {base64.b64encode(b'mail:password').decode()}"}
        answer = Client().post("/receipts/mail/postmark/", body, content_type="application/json", headers=head)
        assert answer.status_code == 400

    @pytest.mark.parametrize(
        ("status", "said", "state"),
        [
            (422, {"ErrorCode": 300, "Message": "No"}, ("queued", "refused_by_server")),
            (401, {"ErrorCode": 10}, ("queued", "server_away")),
            (500, {}, ("queued", "server_away")),
            (422, {"ErrorCode": 406, "Message": f"Found inactive addresses: {ADDRESS}.\n Inactive recipients are …"}, _REFUSED),
            (422, {"ErrorCode": 406, "Message": "in words that nobody foresaw"}, ("failed", "unclear")),
        ],
    )
    def test_what_its_refusals_mean(self, ask: Ask, vendor: Vendor, status: int, said: object, state: tuple[str, str]) -> None:
        vendor.answer = lambda _asked: (status, said)
        assert after(ask()) == state


class TestSes:
    @pytest.fixture(autouse=True)
    def key(self, settings: Settings) -> rsa.RSAPrivateKey:
        """Have Amazon sign with a key of ours: its certificate is one that was fetched before."""
        settings.SENDERS = replace(settings.SENDERS, aws_topics=(TOPIC,), email=("ses",), aws_region="eu-north-1")
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
        )  # fmt: skip
        cache.set(f"sns-certificate:{CERTIFICATE}", made.public_bytes(Encoding.PEM).decode(), timeout=60)
        return key

    @pytest.fixture
    def mailed(self, ask: Ask) -> Notification:
        """A mail that SES has taken."""
        one = ask()
        now = datetime.now(UTC)
        Notification.objects.filter(pk=one.pk).update(status="sent", sent_at=now)
        Attempt.objects.create(notification=one, sender="ses", outcome="accepted", took_ms=1, vendor_id="S1")
        return one

    def bounce(self, kind: str = "Permanent") -> dict[str, Any]:
        about = {"bounceType": kind, "bounceSubType": "General", "bouncedRecipients": [{"emailAddress": ADDRESS}]}
        return {"eventType": "Bounce", "mail": {"messageId": "S1", "destination": [ADDRESS]}, "bounce": about}

    def tell(self, key: rsa.RSAPrivateKey, event: object, *, then: dict[str, Any] | None = None, **over: str) -> int:
        said = {
            "Type": "Notification", "MessageId": "M1", "TopicArn": TOPIC, "Message": json.dumps(event), "SignatureVersion": "2",
            "Timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}", "SigningCertURL": CERTIFICATE, **over,
        }  # fmt: skip
        names = [name for name in sns_notices._SIGNED[said["Type"]] if name in said]
        text = "".join(f"{name}\n{said[name]}\n" for name in names)
        algorithm = hashes.SHA256() if said["SignatureVersion"] == "2" else hashes.SHA1()  # noqa: S303 - Amazon's older one
        said["Signature"] = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), algorithm)).decode()
        body = json.dumps({**said, **(then or {})})
        return Client(enforce_csrf_checks=True).post("/receipts/aws/", body, content_type="text/plain; charset=UTF-8").status_code

    @pytest.mark.parametrize("version", ["1", "2"])
    def test_a_bounce_ends_the_mail_and_the_address(self, key: rsa.RSAPrivateKey, mailed: Notification, version: str) -> None:
        assert self.tell(key, self.bounce(), SignatureVersion=version) == 204
        mailed.refresh_from_db()
        assert (mailed.status, mailed.reason, suppressed()) == ("failed", "came_back", ["bounced"])

    def test_one_that_may_be_there_tomorrow_blocks_nobody(self, key: rsa.RSAPrivateKey, mailed: Notification) -> None:
        assert self.tell(key, self.bounce("Transient")) == 204
        mailed.refresh_from_db()
        assert (mailed.status, suppressed()) == ("failed", [])

    def test_a_complaint_blocks_the_address(self, key: rsa.RSAPrivateKey, mailed: Notification) -> None:
        about = {"complainedRecipients": [{"emailAddress": ADDRESS.upper()}], "complaintFeedbackType": "abuse"}
        mail = {"messageId": "S1", "destination": [ADDRESS]}
        assert self.tell(key, {"eventType": "Complaint", "mail": mail, "complaint": about}) == 204
        assert suppressed() == ["complained"]

    def test_what_is_forged_old_or_anothers_is_refused(self, key: rsa.RSAPrivateKey, mailed: Notification) -> None:
        other = rsa.generate_private_key(65537, 2048)
        old = f"{datetime.now(UTC) - timedelta(hours=2):%Y-%m-%dT%H:%M:%S.000Z}"
        evil = "https://sns.eu-north-1.amazonaws.com.evil.example/SimpleNotificationService-0123abcd.pem"
        assert self.tell(other, self.bounce()) == 403
        assert self.tell(key, self.bounce(), then={"Message": json.dumps(self.bounce("Transient"))}) == 403
        assert self.tell(key, self.bounce(), TopicArn=TOPIC.replace("123456789012", "999999999999")) == 403
        assert self.tell(key, self.bounce(), Timestamp=old) == 403
        for url in (evil, "http://127.0.0.1/x.pem", "https://sns.eu-north-1.amazonaws.com/elsewhere.pem", ""):
            assert self.tell(key, self.bounce(), SigningCertURL=url) == 403
        for body in ("", "[]", "null", "{}", '{"Type": "Notification"}', "[" * 50_000):
            assert Client().post("/receipts/aws/", body, content_type="text/plain").status_code == 403
        mailed.refresh_from_db()
        assert (mailed.status, suppressed()) == ("sent", [])

    def test_told_again_it_blocks_nobody_whom_somebody_let_in_again(self, key: rsa.RSAPrivateKey, mailed: Notification) -> None:
        self.tell(key, self.bounce())
        Suppression.objects.filter(address=ADDRESS).delete()
        assert self.tell(key, self.bounce()) == 204
        assert suppressed() == []

    @pytest.mark.parametrize("event", ["Successfully validated SNS topic for Amazon SES event publishing.", {"mail": 1}, [], {}])
    def test_what_says_nothing_does_nothing(self, key: rsa.RSAPrivateKey, event: object) -> None:
        assert self.tell(key, event) == 204

    def test_a_topic_of_ours_is_confirmed_at_amazon_alone(self, key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        def fetch(self: requests.Session, url: str, **_more: Any) -> requests.Response:
            asked.append(url)
            answer = requests.Response()
            answer.status_code = 200
            return answer

        monkeypatch.setattr(requests.Session, "get", fetch)
        about: dict[str, Any] = {"Type": "SubscriptionConfirmation", "Token": "t"}
        url = "https://sns.eu-north-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
        assert self.tell(key, {}, SubscribeURL=url, **about) == 204
        assert self.tell(key, {}, SubscribeURL="https://evil.example/?Action=ConfirmSubscription", **about) == 403
        assert asked == [url]

    def test_without_a_topic_there_is_no_such_page(self, key: rsa.RSAPrivateKey, settings: Settings) -> None:
        settings.SENDERS = replace(settings.SENDERS, aws_topics=())
        assert self.tell(key, {}) == 404


def test_what_anymail_is_told_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setenv("ANYMAIL_MAILGUN_SENDER_DOMAIN", "mg.example.com")
    monkeypatch.setenv("ANYMAIL_MAILGUN_API_KEY_FILE", str(tmp_path / "token"))
    assert env.prefixed("ANYMAIL_") == {"MAILGUN_SENDER_DOMAIN": "mg.example.com", "MAILGUN_API_KEY": "secret"}
