"""The log, the recipients, and what is behind the links in mails."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import Client

from accounts.models import Account, Role, User
from billing.services import give_credits
from devices.models import Device
from devices.tests.factories import make_account, make_device, make_member
from notifications.models import Notification, Recipient, Suppression
from notifications.services import outbox
from notifications.tests.conftest import Ask, MailServer


@pytest.fixture
def browser(account: Account, client: Client) -> Client:
    client.force_login(account.members.get())
    return client


def link_in(text: str, name: str) -> str:
    found = re.search(rf"https?://\S+/notifications/{name}/\S+/", text)
    assert found is not None
    return urlsplit(found[0]).path


class TestLog:
    def test_it_shows_what_became_of_each_and_escapes_what_devices_say(self, browser: Client, ask: Ask) -> None:
        ask(message="<script>alert(1)</script>")
        ask("stranger@example.com")
        outbox.deliver()
        page = browser.get("/notifications/").content.decode()
        assert "&lt;script&gt;" in page
        assert "<script>alert" not in page
        assert "has not agreed" in page

    def test_ones_own_device_is_named_as_recipient_and_anothers_is_not(self, browser: Client, ask: Ask, account: Account) -> None:
        own, other = make_device(account, "Door buzzer"), make_device(make_account("bob"), "Bob's lamp")
        asked = [ask(one.hex) for one in (own, other)]
        page = browser.get("/notifications/").content.decode()
        assert ("Door buzzer</span>" in page, own.hex in page.split("<tbody>")[1]) == (True, False)
        assert ("lamp" in page, other.hex in page) == (False, True)
        assert "To Door buzzer" in browser.get(f"/notifications/{asked[0].hex}/").content.decode()

    def test_filters_narrow_it(self, browser: Client, ask: Ask, device: Device) -> None:
        ask(message="first")
        ask("stranger@example.com", "second")
        outbox.deliver()
        for query, there, gone in (
            ("status=sent", "first", "second"), ("q=STRANGER", "second", "first"),
            (f"device={device.hex}&q=first", "first", "second"),
        ):  # fmt: skip
            page = browser.get(f"/notifications/?{query}").content.decode()
            assert there in page
            assert gone not in page
        assert browser.get("/notifications/?status=nonsense").status_code == 400
        assert browser.get("/notifications/?cursor=nonsense").status_code == 400
        assert browser.get(f"/notifications/?device={'0' * 32}").status_code == 400

    def test_pages_follow_one_another_without_loss(self, browser: Client, ask: Ask) -> None:
        for number in range(60):
            ask(message=f"number-{number:02}")
        first = browser.get("/notifications/").content.decode()
        older = re.search(r'rel="next" href="([^"]+)"', first)
        assert older is not None
        second = browser.get("/notifications/" + older[1].replace("&amp;", "&")).content.decode()
        seen = [set(re.findall(r"number-\d\d", page)) for page in (first, second)]
        assert len(seen[0]) == 50
        assert len(seen[0] | seen[1]) == 60

    def test_another_persons_log_has_nothing_of_it(self, client: Client, ask: Ask) -> None:
        one = ask()
        client.force_login(make_account("bob").members.get())
        assert "The pump" not in client.get("/notifications/").content.decode()
        assert client.get(f"/notifications/{one.hex}/").status_code == 404
        assert client.post(f"/notifications/{one.hex}/resend/").status_code == 404

    def test_sending_again_is_one_more_however_often_the_button_is_pressed(self, browser: Client, ask: Ask) -> None:
        one = ask()
        key = re.search(r'name="key" value="(\w+)"', browser.get(f"/notifications/{one.hex}/").content.decode())
        assert key is not None
        for _ in range(2):
            assert browser.post(f"/notifications/{one.hex}/resend/", {"key": key[1]}).status_code == 302
        assert Notification.objects.count() == 2

    def test_a_key_that_makes_no_sense_is_only_a_key(self, browser: Client, ask: Ask) -> None:
        one = ask()
        for key in ("\0", "x" * 5000, "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), ""):
            assert browser.post(f"/notifications/{one.hex}/resend/", {"key": key}).status_code == 302

    def test_who_only_looks_on_cannot_send(self, client: Client, ask: Ask, account: Account) -> None:
        one = ask()
        client.force_login(make_member(account, "vera", Role.VIEWER))
        assert client.get(f"/notifications/{one.hex}/").status_code == 200
        assert client.post(f"/notifications/{one.hex}/resend/").status_code == 403

    def test_the_devices_pages_show_it(self, browser: Client, ask: Ask, device: Device) -> None:
        ask("stranger@example.com")
        outbox.deliver()
        for page in (f"/devices/{device.hex}/", f"/devices/{device.hex}/control/"):
            assert "stranger@example.com" in browser.get(page).content.decode()


class TestRecipients:
    def test_an_address_agrees_by_its_link_and_can_stop_it_with_one_press(
        self, browser: Client, ask: Ask, mail_server: MailServer
    ) -> None:
        assert browser.post("/notifications/recipients/", {"address": "Ops@example.com"}).status_code == 302
        outbox.deliver()
        before = ask("ops@example.com")
        outbox.deliver()
        part = message_from_bytes(mail_server.taken[0], policy=policy.default).get_body(("plain",))
        assert part is not None
        body = str(part.get_content())
        stranger, yes = Client(enforce_csrf_checks=True), link_in(body, "confirm")
        assert "May alice" in stranger.get(yes).content.decode()
        assert Recipient.objects.get().confirmed_at is None  # a program that follows links is no yes
        assert Client().post(yes).status_code == 200
        account = Recipient.objects.get().account
        give_credits(account=account, credits=1, reason="Welcome", key="gift")
        after = ask("ops@example.com")
        outbox.deliver()
        for one, status in ((before, "refused"), (after, "sent")):
            one.refresh_from_db()
            assert one.status == status
        got = message_from_bytes(mail_server.taken[1], policy=policy.default)
        no = urlsplit(got["List-Unsubscribe"].strip(" <>")).path
        assert stranger.post(no, {"List-Unsubscribe": "One-Click"}).status_code == 200  # no cookie, no form secret
        stranger.post(no)
        assert Suppression.objects.get().reason == "unsubscribed"

    @pytest.mark.parametrize(
        "address", ["nobody", "+46701234567", "0" * 32, "a@example.com\r\nBcc: b@example.com", "x" * 300 + "@example.com", ""]
    )
    def test_what_cannot_be_asked_is_not_added(self, browser: Client, address: str) -> None:
        assert browser.post("/notifications/recipients/", {"address": address}).status_code == 400
        assert not Recipient.objects.exists()

    def test_nobody_can_have_an_address_asked_again_and_again(self, browser: Client) -> None:
        for _ in range(5):
            browser.post("/notifications/recipients/", {"address": "ops@example.com"})
            browser.post(f"/notifications/recipients/{Recipient.objects.get().hex}/ask/")
            Recipient.objects.update(asked_at=None)
        assert Notification.objects.filter(cause="confirm").count() == 3

    def test_who_said_no_is_not_asked_again(self, browser: Client, account: Account) -> None:
        Suppression.objects.create(account=account, channel="email", address="ops@example.com", reason="unsubscribed")
        assert browser.post("/notifications/recipients/", {"address": "ops@example.com"}).status_code == 400
        assert mail.outbox == []

    def test_other_accounts_recipients_are_nobodys_business(self, client: Client, account: Account) -> None:
        one = Recipient.objects.create(account=account, channel="email", address="ops@example.com")
        client.force_login(make_account("bob").members.get())
        assert one.hex not in client.get("/notifications/recipients/").content.decode()
        for what in ("remove", "ask"):
            assert client.post(f"/notifications/recipients/{one.hex}/{what}/").status_code == 404

    def test_an_operator_blocks_an_address_once(self, client: Client, db: None) -> None:
        client.force_login(User.objects.create_superuser("operator", "operator@example.org", "x"))
        place, about = "/admin/notifications/suppression/add/", {"channel": "email", "address": " Ops@Example.com"}
        assert client.post(place, about).status_code == 302
        assert "is sent to that address already" in client.post(place, about).content.decode()
        assert Suppression.objects.get(address="ops@example.com").reason == "operator"

    @pytest.mark.parametrize("name", ["confirm", "unsubscribe"])
    def test_a_forged_link_is_nothing(self, client: Client, name: str, db: None) -> None:
        for secret in ("s" * 40, "WyJhIl0:1:x", "%00"):
            assert client.post(f"/notifications/{name}/{secret}/").status_code == 404
