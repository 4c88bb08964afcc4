"""Other services by Apprise: which URLs are taken, what a service gets, and that its keys stay sealed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from apprise.plugins.telegram import NotifyTelegram
from django.test import Client
from pytest_django import Settings

from accounts.models import Account, Role
from billing.services import give_credits
from devices.tests.factories import make_account, make_member
from notifications.channels.apprise import NotAService, open_url
from notifications.models import Notification, Recipient
from notifications.services import named, outbox
from notifications.tests.conftest import Ask
from notifications.tests.http_server import Asked, Vendor, serve

TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
TELEGRAM = f"tgram://{TOKEN}/987654321/"
ROOMS: dict[str, Any] = {
    "discord": (NotifyDiscord, "notify_url", "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"),
    "slack": (NotifySlack, "webhook_url", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"),
}
PAGE = "/notifications/recipients/service/"


@pytest.fixture
def telegram(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """Telegram's API on this machine, and a chat of alice's there."""
    give_credits(account=account, credits=5, reason="Welcome", key="gift")
    named.add_service(account=account, name="Team", url=TELEGRAM, user=account.members.get())
    with serve(Vendor()) as vendor:
        monkeypatch.setattr(NotifyTelegram, "notify_url", f"{vendor.url}/bot")
        vendor.answer = lambda _asked: (200, {"ok": True, "result": {"message_id": 1}})
        yield vendor


def after(one: Notification) -> tuple[str, str]:
    outbox.deliver()
    one.refresh_from_db()
    return one.status, one.reason


class TestSending:
    def test_the_chat_gets_it_escaped(self, ask: Ask, telegram: Vendor) -> None:
        one = ask("apprise:team", "Hot <b>now</b> & [x](http://y)")
        assert after(one) == ("sent", "")
        (asked,) = telegram.asked
        said = json.loads(asked.body)
        assert asked.path.startswith(f"/bot{TOKEN}/send")
        assert said["chat_id"] == 987654321
        assert "<b>now</b>" not in said["text"]
        assert "&lt;b&gt;now&lt;/b&gt;" in said["text"]
        assert one.credits == 1

    @pytest.mark.parametrize("service", ["discord", "slack"])
    def test_no_device_rings_up_a_whole_room(
        self, ask: Ask, account: Account, monkeypatch: pytest.MonkeyPatch, service: str
    ) -> None:
        give_credits(account=account, credits=5, reason="Welcome", key="gift")
        plugin, name, url = ROOMS[service]
        named.add_service(account=account, name="room", url=url, user=account.members.get())
        with serve(Vendor(answer=lambda _asked: (200, b"ok"))) as vendor:
            monkeypatch.setattr(plugin, name, vendor.url)
            assert after(ask("apprise:room", "@everyone @HERE <!channel> <@U1> mail@here.example")) == ("sent", "")
            said = vendor.asked[0].body.decode()
        for call in ("@everyone", "@HERE", "<!channel>", "<@U1>"):
            assert call not in json.loads(said).get("content", "") + said

    @pytest.mark.parametrize("status", [302, 401, 500])
    def test_what_it_does_not_take_is_tried_again_and_never_elsewhere(self, ask: Ask, telegram: Vendor, status: int) -> None:
        telegram.answer = lambda _asked: (status, {"ok": False})
        telegram.headers = {"Location": f"{telegram.url}/inside"}
        first, second = ask("apprise:team"), ask("apprise:team")
        assert after(first) == ("queued", "server_away")
        second.refresh_from_db()
        assert (second.status, [one.path.endswith("/inside") for one in telegram.asked]) == ("queued", [False])
        assert TOKEN not in f"{first.detail} {first.attempts.get().detail}"

    def test_one_that_hangs_up_is_tried_again(self, ask: Ask, telegram: Vendor) -> None:
        def hang_up(_asked: Asked) -> tuple[int, object]:
            raise ConnectionError

        telegram.answer = hang_up
        assert after(ask("apprise:team")) == ("queued", "server_away")

    def test_another_accounts_service_is_not_reached(self, ask: Ask, telegram: Vendor) -> None:
        bob = make_account("bob")
        named.add_service(account=bob, name="bobs", url=TELEGRAM, user=bob.members.get())
        assert after(ask("apprise:bobs")) == ("refused", "unknown_name")
        assert after(ask("webhook:team")) == ("refused", "unknown_name")  # the name of another kind
        assert telegram.asked == []


class TestAdding:
    @pytest.mark.parametrize(
        "url",
        [
            TELEGRAM, "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
            "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
            "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=k&token=t&threadKey=x", "pover://user@token?priority=high",
            "x://consumer/secret/token/tokensecret", f"TGRAM://{TOKEN}/987654321/?silent=yes",
        ],
    )  # fmt: skip
    def test_services_with_hosts_of_their_own_are_taken(self, url: str) -> None:
        one = open_url(url)
        assert (one.verify_certificate, one.redirects) == (True, False)

    @pytest.mark.parametrize(
        "url",
        [
            "json://169.254.169.254/latest", "xml://localhost/", "form://10.0.0.1/", "ntfy://localhost/topic", "mailto://a:b@localhost",
            "matrix://a:b@localhost", "syslog://", "dbus://", "gotify://localhost/token",
            "apprise://localhost/key", "file:///etc/passwd",
            "https://example.com/", "tgram://", "tgram://x", "", "://", "slack://", f"{TELEGRAM}?verify=no",
            f"{TELEGRAM}?redirect=yes", f"{TELEGRAM}?template=/etc/passwd", f"{TELEGRAM}?silent=yes;template=/etc/passwd",
            f"{ROOMS['slack'][2]}?template=http://localhost/", f"{TELEGRAM}#?template=/etc/passwd",
            "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?template=http://localhost/",
            "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?template=/etc/passwd",
            f"{TELEGRAM}?cto=600", f"{TELEGRAM}?+X-Evil=1",
            "tgram://[::1", TELEGRAM + "x" * 2000, "tgram://a\0b", "https://hooks.slack.com.evil.example/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        ],
    )  # fmt: skip
    def test_what_could_lead_inside_or_reads_files_is_not(self, url: str) -> None:
        with pytest.raises(NotAService):
            open_url(url)

    def test_an_operator_can_let_more_in(self, settings: Settings) -> None:
        settings.APPRISE_SCHEMAS = frozenset({"jsons"})
        assert open_url("jsons://hooks.inside.example/x").service_name == "JSON"
        with pytest.raises(NotAService):
            open_url("json://hooks.inside.example/x")

    def test_its_keys_are_sealed_and_never_shown_again(self, client: Client, account: Account) -> None:
        client.force_login(account.members.get())
        assert client.post(PAGE, {"name": "team", "url": TELEGRAM}).status_code == 302
        row = Recipient.objects.get(account=account)
        assert TOKEN.encode() not in bytes(row.sealed or b"")
        page = client.get("/notifications/recipients/").content.decode()
        assert ("apprise:team" in page, "Telegram" in page, TOKEN in page) == (True, True, False)

    def test_a_bad_one_is_said_to_be_bad_and_a_mere_operator_adds_none(self, client: Client, account: Account) -> None:
        omar = make_member(account, "omar", Role.OPERATOR)
        client.force_login(omar)
        assert client.post(PAGE, {"name": "team", "url": TELEGRAM, "account": account.pk.hex}).status_code in {302, 400, 403}
        assert not Recipient.objects.filter(account=account).exists()
        client.force_login(account.members.exclude(pk=omar.pk).get())
        answer = client.post(PAGE, {"name": "team", "url": "json://localhost/"})
        assert (answer.status_code, "not among those" in answer.content.decode()) == (400, True)
