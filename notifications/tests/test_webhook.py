"""Webhooks: adding one, what it gets and how that is signed, and what becomes of its answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account, Role
from billing.services import give_credits
from devices.models import Device
from devices.tests.factories import make_account, make_member
from notifications.models import Notification, Recipient
from notifications.services import named, outbox
from notifications.tests.conftest import Ask
from notifications.tests.http_server import Answer, Asked, Vendor, serve

PAGE = "/notifications/recipients/webhook/"


@pytest.fixture
def vendor(settings: Settings) -> Iterator[Vendor]:
    with serve(Vendor()) as found:
        settings.OUTWARD_ORIGINS = frozenset({found.url})
        yield found


@pytest.fixture
def secret(account: Account, vendor: Vendor) -> str:
    """Add the webhook "garage"; returns its secret."""
    give_credits(account=account, credits=5, reason="Welcome", key="gift")
    _, secret = named.add_webhook(account=account, name="Garage", url=f"{vendor.url}/in?key=1", user=account.members.get())
    return secret


def after(one: Notification) -> tuple[str, str]:
    outbox.deliver()
    one.refresh_from_db()
    return one.status, one.reason


def is_genuine(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Check a message as docs/notifications.md has receivers do it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.digest(key, said, hashlib.sha256)).decode()
    return any(hmac.compare_digest(wanted, one) for one in headers["webhook-signature"].split())


def hang_up(_asked: Asked) -> Answer:
    raise ConnectionError


class TestSending:
    def test_it_gets_the_message_once_signed(self, ask: Ask, device: Device, vendor: Vendor, secret: str) -> None:
        one = ask("Webhook: GARAGE", 'Hot "\U0001f321" </script>')
        assert after(one) == ("sent", "")
        (got,) = vendor.asked
        assert (got.method, got.path) == ("POST", "/in?key=1")
        assert is_genuine(secret, got.headers, got.body)
        assert not is_genuine(secret, got.headers, got.body.replace(b"Hot", b"Ice"))
        assert not is_genuine(secret, {**got.headers, "webhook-timestamp": "1"}, got.body)
        said = json.loads(got.body)
        assert said["data"]["device"] == {"id": device.hex, "name": device.name}
        assert (said["data"]["id"], said["data"]["message"]) == (one.hex, 'Hot "\U0001f321" </script>')
        assert got.headers["webhook-id"] == one.hex
        assert one.credits == 1

    @pytest.mark.parametrize(
        ("status", "state"), [(204, "sent"), (302, "failed"), (400, "failed"), (410, "failed"), (429, "queued"), (503, "queued")]
    )
    def test_what_its_answer_means(self, ask: Ask, vendor: Vendor, secret: str, status: int, state: str) -> None:
        vendor.answer = lambda _asked: (status, b"")
        vendor.headers = {"Location": f"{vendor.url}/elsewhere"}
        assert after(ask("webhook:garage"))[0] == state
        assert len(vendor.asked) == 1

    def test_one_that_does_not_answer_is_not_waited_for_again_in_the_same_batch(
        self, ask: Ask, vendor: Vendor, secret: str
    ) -> None:
        vendor.answer = hang_up
        first, second, other = ask("webhook:garage"), ask("webhook:garage"), ask()
        assert after(first) == ("queued", "server_away")
        second.refresh_from_db()
        other.refresh_from_db()
        assert (second.status, other.status, len(vendor.asked)) == ("queued", "sent", 1)

    def test_one_that_gives_no_answer_is_left_alone_longer_each_time_and_is_well_with_one_word(
        self, ask: Ask, vendor: Vendor, secret: str
    ) -> None:
        one, began = ask("webhook:garage"), timezone.now()

        def asked(seconds: float) -> int:
            with time_machine.travel(began + timedelta(seconds=seconds), tick=False):
                Notification.objects.filter(status="queued").update(due_at=timezone.now())
                outbox.deliver("webhook")
            return len(vendor.asked)

        vendor.answer = hang_up
        assert [asked(seconds) for seconds in (0, 29, 31, 60, 90)] == [1, 1, 2, 2, 2]
        vendor.answer = lambda _asked: (503, b"")
        assert [asked(seconds) for seconds in (92, 93)] == [3, 4]
        vendor.answer = hang_up
        assert [asked(seconds) for seconds in (94, 95, 125)] == [5, 5, 6]
        vendor.answer = lambda _asked: (204, b"")
        assert asked(190) == 7
        one.refresh_from_db()
        assert one.status == "sent"

    def test_what_is_silent_to_one_account_is_asked_for_another(self, ask: Ask, vendor: Vendor, secret: str) -> None:
        vendor.answer = hang_up
        assert after(ask("webhook:garage")) == ("queued", "server_away")
        bob = make_account("bob")
        give_credits(account=bob, credits=5, reason="Welcome", key="bob")
        named.add_webhook(account=bob, name="barn", url=f"{vendor.url}/bob", user=bob.members.get())
        vendor.answer = lambda _asked: (204, b"")
        assert after(ask("webhook:barn", account_id=bob.pk, device_id=None)) == ("sent", "")

    def test_where_it_leads_is_checked_again_when_it_is_sent(
        self, ask: Ask, vendor: Vendor, secret: str, settings: Settings
    ) -> None:
        settings.OUTWARD_ORIGINS = frozenset()
        assert after(ask("webhook:garage")) == ("failed", "not_allowed")
        assert vendor.asked == []

    def test_another_accounts_name_leads_nowhere(self, ask: Ask, vendor: Vendor, secret: str) -> None:
        bob = make_account("bob")
        named.add_webhook(account=bob, name="barn", url=f"{vendor.url}/bob", user=bob.members.get())
        assert after(ask("webhook:barn")) == ("refused", "unknown_name")
        assert vendor.asked == []

    def test_one_that_was_taken_out_gets_nothing_any_more(self, ask: Ask, account: Account, vendor: Vendor, secret: str) -> None:
        one = ask("webhook:garage")
        Recipient.objects.filter(account=account).delete()
        assert after(one) == ("refused", "unknown_name")

    @pytest.mark.parametrize("text", ["webhook:", "webhook:a b", "webhook:../x", "webhook:http://x", "webhook:" + "x" * 41])
    def test_what_is_no_name_is_no_recipient(self, ask: Ask, text: str) -> None:
        assert ask(text).reason == "bad_recipient"


class TestAdding:
    def test_its_secret_is_shown_once_and_where_it_leads_never(self, client: Client, account: Account) -> None:
        client.force_login(account.members.get())
        url = "https://hooks.example.com/in?key=sesame"
        made = client.post(PAGE, {"name": "garage", "url": url}).content.decode()
        secret = re.search(r"whsec_[A-Za-z0-9+/=]{44}", made)
        assert secret is not None
        row = Recipient.objects.get(account=account)
        assert (row.host, b"sesame" in bytes(row.sealed or b"")) == ("hooks.example.com", False)
        page = client.get("/notifications/recipients/").content.decode()
        assert "webhook:garage" in page
        assert "sesame" not in page
        assert secret[0] not in page

    @pytest.mark.parametrize(
        ("name", "url"),
        [
            ("garage", "http://example.com/"), ("garage", "https://10.0.0.1/"), ("garage", ""), ("", "https://example.com/"),
            ("a b", "https://example.com/"), ("taken", "https://example.com/"), ("garage", "https://example.com/\0"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_sent_to_is_not_added(self, client: Client, account: Account, name: str, url: str) -> None:
        user = account.members.get()
        named.add_webhook(account=account, name="taken", url="https://example.com/", user=user)
        client.force_login(user)
        assert client.post(PAGE, {"name": name, "url": url}).status_code == 400
        assert Recipient.objects.filter(account=account).count() == 1

    def test_only_managers_add_and_remove(self, client: Client, account: Account, secret: str) -> None:
        row = Recipient.objects.get(account=account)
        client.force_login(make_member(account, "omar", Role.OPERATOR))
        about = {"name": "mine", "url": "https://example.com/", "account": account.pk.hex}
        client.post(PAGE, about)  # they have an account of their own, where they may
        assert Recipient.objects.filter(account=account).count() == 1
        assert client.post(f"/notifications/recipients/{row.hex}/remove/").status_code == 403

    def test_there_is_an_end_to_it(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(named, "PER_ACCOUNT", 1)
        user = account.members.get()
        named.add_webhook(account=account, name="one", url="https://example.com/", user=user)
        with pytest.raises(named.NamedRefused):
            named.add_webhook(account=account, name="two", url="https://example.com/", user=user)
