"""Templates in the admin, and what a rule would say on its page."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.test import Client
from pytest_django import Settings

from accounts.models import Account, User
from accounts.operators import GROUP
from devices.models import Device
from devices.tests.factories import make_account, make_user
from notifications.models import Cause, Notification, Rule, Template
from notifications.services import outbox

LIST = "/admin/notifications/template/"
SAID = {
    "event": "offline", "language": "en", "subject": "{device} is off", "text": "Off since {since}", "short": "Off",
    "html": '<p>{device}: <a href="{page}">look</a></p>',
}  # fmt: skip
RULE = {
    "api": "get_level", "field": "level", "comparison": "lt", "value": "20", "recipient": "alice@example.org",
    "message": "{device} is at {value}", "every_minutes": "15",
}  # fmt: skip


@pytest.fixture
def operator(db: None) -> Client:
    olga = make_user("olga")
    User.objects.filter(pk=olga.pk).update(is_staff=True)
    olga.groups.add(Group.objects.get(name=GROUP))
    client = Client()
    client.force_login(olga)
    return client


class TestAdmin:
    def test_an_operator_begins_with_what_is_shipped_and_puts_their_own_in_its_place(self, operator: Client) -> None:
        assert f"{LIST}add/?event=offline&amp;language=de" in operator.get(LIST).content.decode()
        page = operator.get(f"{LIST}add/?event=offline&language=de").content.decode()
        assert "{device} ist offline" in page
        assert "5. November, 09:40" in page  # an example of a variable
        assert operator.post(f"{LIST}add/", SAID).status_code == 302
        one = Template.objects.get()
        assert (one.subject, one.text) == ("{device} is off", "Off since {since}")
        change = f"{LIST}{one.pk}/change/"
        assert 'name="event" value="offline"' in operator.get(change).content.decode()
        operator.post(change, {**SAID, "event": "back", "subject": "Off"})
        one.refresh_from_db()
        assert (one.event, one.subject) == ("offline", "Off")
        assert "There is one already" in operator.post(f"{LIST}add/", SAID).content.decode()

    @pytest.mark.parametrize(
        ("parts", "says"),
        [
            ({"text": "{devise}"}, "Did you mean {device}?"), ({"subject": "{{ settings.SECRET_KEY }}"}, "{{ is not known"),
            ({"html": "<script>alert(1)</script>"}, "&lt;script&gt; is not taken"),
            ({"event": "nothing"}, "Select a valid choice"),
        ],
    )  # fmt: skip
    def test_a_mistake_is_told_and_nothing_is_kept(self, operator: Client, parts: dict[str, str], says: str) -> None:
        assert says in operator.post(f"{LIST}add/", {**SAID, **parts}).content.decode()
        response = operator.post(f"{LIST}preview/", {**SAID, **parts})
        assert (response.status_code, says in response.content.decode()) == (400, True)
        assert not Template.objects.exists()

    def test_a_preview_shows_mail_and_sms_and_keeps_nothing(self, operator: Client) -> None:
        page = operator.post(f"{LIST}preview/", {**SAID, "short": "…" * 71})
        text = page.content.decode()
        assert "Pump is off" in text
        assert "71 characters, 2 parts" in text
        assert re.search(r'<iframe [^>]*sandbox srcdoc="&lt;!doctype html&gt;', text)
        assert "&lt;bdi&gt;Pump&lt;/bdi&gt;" in text
        policy = page["Content-Security-Policy"]
        assert "script-src 'self';" in f"{policy};"  # the directives come in any order
        assert re.search(r"style-src 'self' 'sha256-[^']{44}'", policy)
        assert not Template.objects.exists()
        assert not Notification.objects.exclude(cause=Cause.SIGN_IN).exists()  # which the operator may be told of

    def test_who_asks_gets_it_by_mail(self, operator: Client) -> None:
        operator.post(f"{LIST}preview/", {**SAID, "send": "1"})
        outbox.deliver()
        assert [(one.to, one.subject) for one in mail.outbox] == [(["olga@example.org"], "Pump is off")]

    def test_who_does_not_work_here_sees_nothing_of_it(self, client: Client, db: None) -> None:
        client.force_login(make_user("mallory"))
        assert client.post(f"{LIST}preview/", SAID).status_code == 302
        assert client.get(f"{LIST}preview/").status_code == 302


class TestRules:
    @pytest.fixture
    def here(self, client: Client, account: Account) -> Client:
        client.force_login(account.members.get())
        return client

    def _shown(self, here: Client, pump: Device, **over: str) -> str:
        said = {**RULE, "device": str(pump.pk), "preview": "1", **over}
        page = here.post("/notifications/rules/new/", said)
        assert page.status_code == 200
        found = re.search(r'<section class="panel" id="preview".*?</section>', page.content.decode(), re.S)
        assert found is not None
        return found[0]

    def test_what_it_would_say_is_shown_and_not_kept(
        self, here: Client, device: Device, account: Account, settings: Settings
    ) -> None:
        settings.SENDERS = replace(settings.SENDERS, sms=("twilio",))
        account.members.update(phone="+46701234567", phone_verified=True)
        assert "Pump is at 20" in self._shown(here, device)
        assert "to alice@example.org, in English" in self._shown(here, device)
        assert "Pump: level of get_level is 20." in self._shown(here, device, message="")
        assert "An SMS of 1 part to SE" in self._shown(here, device, recipient="+46701234567")
        assert "&lt;script&gt;" in self._shown(here, device, message="<script>alert(1)</script>")
        account.members.update(language="de")
        assert "Pump: level von get_level ist 20." in self._shown(here, device, message="")
        assert not Rule.objects.exists()
        assert not Notification.objects.exclude(cause=Cause.SIGN_IN).exists()  # which the operator may be told of

    @pytest.mark.parametrize(
        ("over", "says"),
        [
            ({"message": "{valeu}"}, "Did you mean {value}?"), ({"message": "{{ settings.SECRET_KEY }}"}, "{{ is not known"),
            ({"recipient": "nobody"}, "That is no e-mail address"), ({"device": "7"}, "Choose a device"),
            ({"message": "x" * 1001}, "level of get_level is 20"),
        ],
        ids=["near", "tag", "recipient", "device", "long"],
    )  # fmt: skip
    def test_what_is_wrong_is_said_in_its_place(self, here: Client, device: Device, over: dict[str, str], says: str) -> None:
        assert says in self._shown(here, device, **over)

    def test_a_rule_that_is_changed_begins_with_what_it_says_now(self, here: Client, device: Device, account: Account) -> None:
        over = {name: value for name, value in RULE.items() if name != "every_minutes"}
        one = Rule.objects.create(device=device, account=account, **over)
        assert "Pump is at 20" in here.get(f"/notifications/rules/{one.hex}/").content.decode()

    def test_nobody_sees_anothers_device_in_it(self, here: Client, device: Device) -> None:
        client = Client()
        client.force_login(make_account("bob").members.get())
        assert "Choose a device" in self._shown(client, device)
