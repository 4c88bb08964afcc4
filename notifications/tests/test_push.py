"""Pushes: switching a browser on, and what a push service gets, checked and decrypted as it and the browser do it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.exports import Export
from accounts.models import Account, Role, User
from billing.services import give_credits
from devices.models import Device
from devices.tests.factories import make_account, make_member
from iotportal.embedded import pushcatcher
from iotportal.embedded.pushcatcher import PushBrowser
from notifications.channels import push
from notifications.channels.push import public_key
from notifications.exports import add_notifications
from notifications.models import Browser, Notification
from notifications.services import browsers, outbox
from notifications.tests.conftest import Ask
from notifications.tests.http_server import Asked, Vendor, serve


class PushService:
    """A push service with one browser behind it."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.browser = PushBrowser()
        self.shown: list[dict[str, str]] = []
        self.status = 0  # instead of taking it
        vendor.answer = self._take

    def _take(self, asked: Asked) -> tuple[int, object]:
        if self.status:
            return self.status, b""
        try:
            self.shown.append(self.browser.read(asked.headers, asked.body, self.vendor.url))
        except pushcatcher.Refused as error:
            return error.status, str(error).encode()
        return 201, b""

    def switch_on(self, user: User, name: str = "one") -> Browser:
        return browsers.add(user=user, endpoint=f"{self.vendor.url}/{name}", name="Firefox", **self.browser.keys())


@pytest.fixture
def service(settings: Settings) -> Iterator[PushService]:
    with serve(Vendor()) as vendor:
        settings.OUTWARD_ORIGINS = frozenset({vendor.url})
        yield PushService(vendor)


@pytest.fixture
def alice(account: Account) -> User:
    give_credits(account=account, credits=5, reason="Welcome", key="gift")
    return account.members.get()


def after(one: Notification) -> tuple[str, str]:
    outbox.deliver()
    one.refresh_from_db()
    return one.status, one.reason


class TestSending:
    def test_the_owners_browser_shows_it(self, ask: Ask, alice: User, service: PushService) -> None:
        service.switch_on(alice)
        one = ask("Push:", "Hot \U0001f321\n<b>now</b>")
        assert after(one) == ("sent", "")
        (shown,) = service.shown
        assert (shown["title"], shown["text"]) == ("Pump: Hot \U0001f321 <b>now</b>", "Hot \U0001f321\n<b>now</b>")
        assert (shown["url"], shown["tag"]) == (f"/notifications/{one.hex}/", one.hex)
        assert service.vendor.asked[0].headers["topic"] == one.hex
        assert one.attempts.get().vendor_id == "1 of 1"
        assert Browser.objects.get(user=alice).pushed_at is not None

    def test_the_longest_message_fits(self, ask: Ask, alice: User, service: PushService) -> None:
        service.switch_on(alice)
        assert after(ask("push:", "\U0001f321" * 4000)) == ("sent", "")
        assert after(ask("push:", '"' * 4000)) == ("sent", "")
        assert all(one["text"].endswith("…") for one in service.shown)

    @pytest.mark.parametrize("status", [404, 410])
    def test_one_that_is_no_more_is_forgotten(self, ask: Ask, alice: User, service: PushService, status: int) -> None:
        service.switch_on(alice)
        service.status = status
        assert after(ask("push:")) == ("failed", "no_browser")
        assert not Browser.objects.filter(user=alice).exists()

    @pytest.mark.parametrize(
        ("status", "state"), [(429, "queued"), (500, "queued"), (403, "failed"), (413, "failed"), (302, "failed")]
    )
    def test_what_else_a_push_service_answers(self, ask: Ask, alice: User, service: PushService, status: int, state: str) -> None:
        service.switch_on(alice)
        service.status = status
        service.vendor.headers = {"Location": f"{service.vendor.url}/elsewhere"}
        assert after(ask("push:"))[0] == state
        assert Browser.objects.filter(user=alice).exists()
        assert len(service.vendor.asked) == 1

    def test_it_goes_to_all_browsers_and_one_that_is_gone_does_not_keep_it_from_the_others(
        self, ask: Ask, alice: User, service: PushService
    ) -> None:
        service.switch_on(alice)
        gone = service.switch_on(alice, "two")
        take = service.vendor.answer
        service.vendor.answer = lambda asked: (410, b"") if asked.path == "/two" else take(asked)
        one = ask("push:")
        assert after(one) == ("sent", "")
        assert (one.attempts.get().vendor_id, Browser.objects.filter(pk=gone.pk).exists()) == ("1 of 2", False)

    def test_many_slow_push_services_do_not_hold_up_what_waits_behind(
        self, ask: Ask, alice: User, service: PushService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(push, "LONGEST_S", 0.0)
        for name in ("one", "two", "three"):
            service.switch_on(alice, name)
        service.status = 500
        assert after(ask("push:")) == ("queued", "server_away")
        assert len(service.vendor.asked) == 1

    def test_nobody_elses_browser_is_reached(self, ask: Ask, alice: User, account: Account, service: PushService) -> None:
        bob = make_account("bob").members.get()
        service.switch_on(bob)
        service.switch_on(make_member(account, "vera", Role.VIEWER), "vera")  # a member, but no owner
        assert after(ask("push:")) == ("failed", "no_browser")
        assert after(ask(f"push:{bob.uuid.hex}")) == ("refused", "no_browser")
        assert service.shown == []

    def test_a_member_is_reached_by_their_id(self, ask: Ask, alice: User, account: Account, service: PushService) -> None:
        vera = make_member(account, "vera", Role.VIEWER)
        service.switch_on(vera)
        assert after(ask(f"push:{vera.uuid.hex}")) == ("sent", "")

    def test_pages_name_ones_own_browsers_and_of_others_only_whose_they_are(
        self, ask: Ask, alice: User, account: Account, device: Device, service: PushService
    ) -> None:
        vera, stranger = make_member(account, "vera", Role.VIEWER), make_account("bob").members.get()
        for user, name in ((alice, "Firefox on Linux"), (vera, "Chrome on Android"), (stranger, "Safari on iPhone")):
            service.switch_on(user, user.username)
            user.browsers.update(name=name)
        asked = [ask("push:"), *(ask(f"push:{user.uuid.hex}") for user in (alice, vera, stranger))]
        seen = {alice: ["Firefox on Linux", "Firefox on Linux", "vera’s browsers", "somebody’s browsers"],
                vera: ["the owners’ browsers", "alice’s browsers", "Chrome on Android", "somebody’s browsers"]}  # fmt: skip
        for reader, words in seen.items():
            client = Client()
            client.force_login(reader)
            pages = [client.get(f"/notifications/{one.hex}/").content.decode() for one in asked]
            assert [f"To {said}" in page for said, page in zip(words, pages, strict=True)] == [True] * 4
            for url in ("/notifications/", f"/devices/{device.hex}/", f"/devices/{device.hex}/control/"):
                page = client.get(url).content.decode()
                assert [said in page for said in words] == [True] * 4
                assert "Safari on iPhone" not in page
            assert ("Chrome on Android" in pages[2]) == (reader == vera)

    def test_where_it_leads_is_checked_again_when_it_is_sent(
        self, ask: Ask, alice: User, service: PushService, settings: Settings
    ) -> None:
        service.switch_on(alice)
        settings.OUTWARD_ORIGINS = frozenset()
        assert after(ask("push:")) == ("failed", "not_allowed")
        assert service.vendor.asked == []


class TestSwitchingOn:
    def test_a_browser_is_listed_moves_with_its_user_and_goes(self, client: Client, alice: User, service: PushService) -> None:
        client.force_login(alice)
        about = {"endpoint": f"{service.vendor.url}/one", **service.browser.keys()}
        agent = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
        for _ in range(2):
            client.post("/notifications/push/", about, headers=agent)
        page = client.get("/notifications/preferences/").content.decode()
        assert page.count("Firefox on Linux</div>") + page.count("Firefox on Linux <") == 1
        assert f'data-key="{public_key()}"' in page
        bob = make_account("bob").members.get()
        client.force_login(bob)
        one = Browser.objects.get()
        assert client.post(f"/notifications/push/{one.hex}/remove/").status_code == 404
        client.post("/notifications/push/", about)
        assert Browser.objects.get().user == bob
        assert client.post(f"/notifications/push/{one.hex}/remove/").status_code == 302
        assert not Browser.objects.exists()

    def test_nobody_takes_a_browser_over_without_its_keys(self, alice: User, service: PushService) -> None:
        service.switch_on(alice)
        service.browser = PushBrowser()
        with pytest.raises(browsers.BrowserRefused):
            service.switch_on(make_account("bob").members.get())

    @pytest.mark.parametrize(
        "over",
        [
            {"endpoint": "http://push.example.com/x"}, {"endpoint": "https://169.254.169.254/x"}, {"endpoint": "https://[::1]/"},
            {"endpoint": ""}, {"endpoint": "https://push.example.com/" + "x" * 1000}, {"p256dh": ""}, {"p256dh": "A" * 87},
            {"auth": "AAAA"}, {"auth": "ä" * 22}, {"p256dh": "\0"},
        ],
    )  # fmt: skip
    def test_what_is_no_browser_is_not_kept(self, alice: User, over: dict[str, str]) -> None:
        about: dict[str, Any] = {"endpoint": "https://push.example.com/x", **PushBrowser().keys(), **over}
        with pytest.raises(browsers.BrowserRefused):
            browsers.add(user=alice, name="x", **about)

    def test_there_is_an_end_to_it(self, alice: User, service: PushService, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(browsers, "PER_USER", 1)
        service.switch_on(alice)
        with pytest.raises(browsers.BrowserRefused):
            service.switch_on(alice, "two")

    def test_trying_it_pushes_to_oneself(self, client: Client, alice: User, service: PushService) -> None:
        service.switch_on(alice)
        client.force_login(alice)
        assert client.post("/notifications/push/try/").status_code == 302
        outbox.deliver()
        assert service.shown[0]["title"] == "It works"

    def test_the_worker_is_a_script_of_this_portal(self, client: Client, db: None) -> None:
        answer = client.get("/notifications/push/worker.js")
        assert answer["Content-Type"].startswith("text/javascript")
        assert answer["Cache-Control"] == "no-cache"
        assert "worker-src 'self'" in answer["Content-Security-Policy"]

    def test_the_key_is_for_its_owner_alone(self, pki: Path) -> None:
        assert stat.S_IMODE((pki / "push.key").stat().st_mode) == 0o600


def test_what_people_take_along_names_their_browsers_and_not_their_addresses(
    alice: User, account: Account, service: PushService
) -> None:
    service.switch_on(alice)
    export = Export(user=alice, account=account)
    add_notifications(export)
    text = "".join(export.files["pushed_browsers.csv"]())
    assert "Firefox" in text
    assert service.vendor.url not in text
