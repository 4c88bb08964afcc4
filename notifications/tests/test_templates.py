"""What notifications say: templates, whose variables nothing but text fills, in the language of who reads them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.hooks import SignIn
from accounts.models import Account, Role, User
from billing.services import give_credits, spend_credits
from devices import hooks as device_hooks
from devices.models import Certificate, Device
from devices.tests.factories import make_account, make_member
from iotportal.uuid7 import uuid7
from messaging import hooks
from messaging.hooks import Outage
from messaging.models import Outcome
from messaging.reasons import _SHORT
from notifications import gaps, reactions
from notifications.models import Notification, Recipient, Rule, Template
from notifications.rendering import outgoing
from notifications.services import intake, outbox, recipients, rules, templates
from notifications.services.templates import TemplateRefused
from notifications.templating import drafts, languages, markup
from notifications.templating.events import EVENTS, RULE_VARIABLES
from notifications.tests.conftest import Ask

RTL = "\u202eevil\u202c"


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def outage(device: Device) -> Outage:
    return Outage(uuid7(), device, timezone.now() - timedelta(minutes=7), 5, "keepalive")


def speak(user: User, language: str) -> None:
    User.objects.filter(pk=user.pk).update(language=language)


def template(event: str, **parts: str) -> Template:
    said = {"language": "en", "subject": "Said", "text": "Said", "short": "", "html": "", **parts}
    one = Template(event=event, **said)
    templates.check(one)
    one.save()
    return one


def html_of(sent: Any) -> str:
    assert isinstance(sent, EmailMultiAlternatives)
    return str(sent.alternatives[0][0])


class TestGaps:
    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("{{ settings.SECRET_KEY }}", "{{ is not known"),
            ("{% include 'secrets.txt' %}", "{% is not known"),
            ("{# a comment #}", "{# is not known"),
            ("{device.__class__.__init__.__globals__}", "Did you mean {device}?"),
            ("{device!r}", "Did you mean {device}?"),
            ("{device:>1000000}", "Did you mean {device}?"),
            ("{ device }", "Did you mean {device}?"),
            ("{Device}", "Did you mean {device}?"),
            ("{devise}", "Did you mean {device}?"),
            ("{colour}", "You can use {device}, {api}, {field}, {value}, {time}, {account}."),
            ("{" + "x" * 1_000_000 + "} {devise}", "Did you mean {device}?"),
        ],
        ids=lambda one: one[:24],
    )
    def test_what_does_nothing_is_refused_with_what_does(self, text: str, why: str) -> None:
        with pytest.raises(gaps.UnknownGap) as refused:
            gaps.check(text, RULE_VARIABLES)
        assert why in str(refused.value)

    @pytest.mark.parametrize("text", ['{"level": 3, "of": {"a": 1}}', "{} {0} { {value} }", "100 % {value}%", "${value}"])
    def test_other_braces_are_text(self, text: str) -> None:
        gaps.check(text, RULE_VARIABLES)


class TestMarkup:
    def test_a_mails_html_is_written_anew(self) -> None:
        source = "<P dir=rtl>Tom &amp; <B>{device}</b><br/> 1 < 2 &lt;script&gt;</P><a href={page}>x</a>"
        assert markup.canonical(source, ["page"]) == (
            '<p dir="rtl">Tom &amp; <b>{device}</b><br> 1 &lt; 2 &lt;script&gt;</p><a href="{page}">x</a>'
        )

    @pytest.mark.parametrize(
        "source",
        [
            "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<p onclick=alert(1)>x</p>", "<p style=x>x</p>",
            "<a href='javascript:alert(1)'>x</a>", "<a href='{device}'>x</a>", "<a href='https://x.example/{device}'>x</a>",
            "<a href=' {page}'>x</a>", "</div></div><p>x</p>", "<p>x", "<b><i>x</b></i>", "<!-- {device} -->", "<!doctype html>",
            "<?php x ?>", "<![CDATA[x]]>", "<svg/onload=alert(1)>", "<style>*{}</style>", "<iframe srcdoc=x></iframe>",
            "<p {device}>x</p>", "<p dir={device}>x</p>", "<base href=https://x.example/>", "<plaintext>",
        ],
    )  # fmt: skip
    def test_what_no_mail_needs_is_refused(self, source: str) -> None:
        with pytest.raises(markup.BadMarkup):
            markup.canonical(source, ["page"])

    @pytest.mark.parametrize("source", ["<scr<script>ipt>", "<p<script>", "<<b>x</b>", "<a href='https://x.example/'<b>", "<"])
    def test_what_is_broken_off_is_refused_or_text(self, source: str) -> None:
        try:
            kept = markup.canonical(source)
        except markup.BadMarkup:
            return
        assert markup.canonical(kept) == kept
        assert "<script" not in kept


class TestDrafts:
    def test_each_event_is_shipped_in_each_language_with_its_own_variables(self) -> None:
        for language in drafts.shipped_languages():
            for event in EVENTS.values():
                draft = drafts.shipped(event.key, language)
                assert draft is not None, (event.key, language)
                one = Template(
                    event=event.key, language=language, subject=draft.subject, text=draft.text, short=draft.short, html=draft.html
                )  # fmt: skip
                templates.check(one)
                assert (one.text, one.html) == (draft.text, draft.html)
                words = templates.example(one)
                assert "{" not in f"{words.subject}{words.text}{words.short}{words.html}"

    def test_what_the_portal_says_of_its_own_is_there_in_german(self) -> None:
        for text in [*_SHORT.values(), *Outcome.labels]:
            assert languages.written(languages.phrase(text), "de") != text

    def test_numbers_and_times_are_written_as_people_write_them(self) -> None:
        said = [
            languages.counted(1, "minute"),
            languages.counted(1234, "credit"),
            languages.day(timezone.now().replace(2026, 3, 5)),
        ]
        assert [languages.written(one, "en") for one in said] == ["1 minute", "1,234 credits", "5 March 2026"]
        assert [languages.written(one, "de") for one in said] == ["1 Minute", "1.234 Credits", "5. März 2026"]

    def test_a_language_that_is_not_shipped_gets_its_own_dates_and_else_english(self) -> None:
        assert languages.written(languages.day(timezone.now().replace(2026, 3, 5)), "sv") == "5 mars 2026"
        assert languages.written(languages.counted(2, "minute"), "sv") == "2 minutes"

    def test_what_is_too_much_html_is_made_of_the_text(self) -> None:
        draft = drafts.Draft("x", "{message}", html="<p>{message}</p>" * 20)
        words = drafts.fill(draft, EVENTS["person"], {"message": "&" * 4000}, "en")
        assert (words.html, len(words.text)) == ("", 4000)


class TestWords:
    def test_an_operators_words_take_the_place_of_those_that_are_shipped(self, ask: Ask) -> None:
        template(
            "device", subject="[{account}] {device}", text="{device} says: {message}", html="<p><b>{device}</b>: {message}</p>"
        )
        ask(message="Hot <b>\nnow</b>")
        outbox.deliver()
        (sent,) = mail.outbox
        assert sent.subject == "[alice] Pump"
        assert str(sent.body).startswith("Pump says: Hot <b>\nnow</b>\n")
        assert "<p><b><bdi>Pump</bdi></b>: <bdi>Hot &lt;b&gt;<br>now&lt;/b&gt;</bdi></p>" in html_of(sent)

    def test_what_a_device_is_called_breaks_nothing(self, outage: Outage) -> None:
        template("offline", subject="{device} is off", text="{device}", html='<p>{device} <a href="{page}">x</a></p>')
        outage.device.name = f"</p><script>\r\nBcc: eve@example.com\r\n\r\n{{page}} {RTL}"
        hooks.device_offline(outage)
        outbox.deliver()
        (sent,) = mail.outbox
        assert sent.subject == "</p><script> Bcc: eve@example.com {page} evil is off"
        assert "Bcc" not in sent.message()
        assert "<bdi>&lt;/p&gt;&lt;script&gt;<br>Bcc: eve@example.com<br><br>{page} evil</bdi>" in html_of(sent)
        assert "\u202e" not in str(sent.message())

    def test_a_megabyte_is_cut(self, ask: Ask) -> None:
        template("device", subject="{message}", text="{message}{message}", html="<p>{message}</p>")
        one = ask(message="x" * 1_000_000)
        assert (len(one.subject), len(one.message), len(one.html) < 5000) == (200, 4000, True)

    def test_what_waits_keeps_the_words_that_it_has(self, ask: Ask) -> None:
        said = template("device", subject="First {device}", text="First", html="<p>First</p>")
        ask()
        Template.objects.filter(pk=said.pk).update(subject="Second", text="Second", html="<p>Second</p>")
        ask()
        said.delete()
        ask()
        outbox.deliver()
        assert [one.subject for one in mail.outbox] == ["First Pump", "Second", "Pump: The pump stopped"]
        assert ["<p>First</p>" in html_of(one) for one in mail.outbox] == [True, False, False]

    def test_programs_get_what_was_said(self, ask: Ask, account: Account) -> None:
        template("device", text="{device} says: {message}")
        Recipient.objects.create(
            account=account, channel="webhook", address="garage", sealed=b"x", confirmed_at=timezone.now(), host="example.com"
        )
        assert ask("webhook:garage").message == "The pump stopped"
        assert ask("alice@example.org").message == "Pump says: The pump stopped"

    def test_an_sms_has_the_short_text(self, ask: Ask, outage: Outage) -> None:
        assert ask("+46701234567").message == "Pump: The pump stopped"
        template("device", text="A long text: {message}", short="{message}!")
        assert ask("+46701234567").message == "The pump stopped!"

    def test_said_again_it_is_the_same(self, ask: Ask, alice: User) -> None:
        said = template("device", text="{message}", html="<p>{message}</p>")
        one = ask()
        said.delete()
        again = intake.resend(notification=one, user=alice, key="k")
        assert (again.subject, again.message, again.html, again.language) == (one.subject, one.message, one.html, one.language)

    def test_a_batch_costs_three_queries_more(
        self, ask: Ask, device: Device, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        requests = [
            hooks.NotificationRequest(uuid7(), timezone.now(), device.account_id, device.pk, f"{number}@example.com", "Hot")
            for number in range(20)
        ]
        with django_assert_num_queries(4):  # names, readers, templates; and keeping them
            reactions.on_requests(requests)

    def test_the_new_name_of_a_device_that_was_claimed_is_not_told_to_its_old_owner(
        self, client: Client, ask: Ask, device: Device, alice: User
    ) -> None:
        was, before = device.account_id, ask()
        Device.objects.filter(pk=device.pk).update(account=make_account("bob"), name="Bob's secret pump")
        for one in (Notification.objects.get(pk=before.pk), ask(account_id=was)):  # one that waits, one that was under way
            sent = outgoing(one)
            assert "secret" not in f"{one.subject} {one.message} {one.html} {sent.subject} {sent.text} {sent.html}"
            assert (one.account_id, "The pump stopped" in sent.text) == (was, True)
        client.force_login(alice)
        log = client.get("/notifications/").content.decode() + client.get(f"/notifications/{before.hex}/").content.decode()
        assert "The pump stopped" in log
        assert "secret" not in log

    def test_each_event_says_all_that_it_declares(self, device: Device, alice: User, outage: Outage, ask: Ask) -> None:
        for event in EVENTS.values():
            named = " ".join(f"{{{name}}}" for name in event.names)
            template(event.key, subject=named[:200], text=named)
        hooks.device_offline(outage)
        hooks.device_back(Outage(uuid7(), device, outage.since, 5, "keepalive", timezone.now()))
        device_hooks.certificate_expiring(device_hooks.ExpiringCertificate(Certificate.objects.get(device=device), 7))
        reactions.on_new_place(SignIn(alice, "", "curl/8", "session"))
        give_credits(account=device.account, credits=60, reason="Welcome", key="gift")
        spend_credits(account=device.account, credits=15, key="use")
        recipients.add(account=device.account, text="ops@example.com", user=alice)
        for comparison, field in (("lt", "level"), ("fails", "outcome")):
            rule = Rule(
                device=device, account=device.account, api="get_level", field=field, comparison=comparison, value="3",
                recipient="alice@example.org",
            )  # fmt: skip
            rules.test(rule=rules.save(rule=rule), user=alice, key="k")
        ask()
        told = Notification.objects.filter(account=device.account)
        causes = {"offline", "back", "certificate", "sign_in", "credits", "confirm", "rule", "device"}
        assert {one.cause for one in told} == causes
        assert [one.message for one in told if "{" in f"{one.subject}{one.message}"] == []


class TestLanguages:
    def test_everybody_reads_their_own(self, outage: Outage, account: Account, alice: User) -> None:
        speak(alice, "de")
        make_member(account, "bert", Role.ADMIN)
        hooks.device_offline(outage)
        outbox.deliver()
        subjects = {one.to[0]: one.subject for one in mail.outbox}
        assert subjects == {"alice@example.org": "Pump ist offline", "bert@example.org": "Pump is offline"}
        german = next(one for one in mail.outbox if one.to == ["alice@example.org"])
        assert "länger als 5 Minuten. Grund: ist verstummt." in str(german.body)
        assert "Diese Benachrichtigungen abbestellen: http" in str(german.body)
        assert '<html lang="de">' in html_of(german)
        assert "Vom Gerät <bdi>Pump</bdi>" in html_of(german)

    def test_whoever_is_nobodys_reads_the_owners(self, ask: Ask, account: Account, alice: User) -> None:
        speak(alice, "de")
        Recipient.objects.create(account=account, channel="email", address="ops@example.com", confirmed_at=timezone.now())
        assert ask("ops@example.com").language == "de"
        speak(make_account("bob").members.get(), "en")  # who is no member of this account
        assert ask("bob@example.org").language == "de"

    def test_a_question_is_asked_in_the_owners_language(self, account: Account, alice: User) -> None:
        speak(alice, "de")
        recipients.add(account=account, text="ops@example.com", user=alice)
        outbox.deliver()
        assert mail.outbox[0].subject == "Bestätigen Sie, dass Sie diese Benachrichtigungen möchten"
        assert "Geräte von alice möchten Ihnen" in str(mail.outbox[0].body)
        assert "/notifications/confirm/" in html_of(mail.outbox[0])

    def test_a_language_that_the_portal_does_not_have_is_its_first(self, ask: Ask, alice: User, settings: Settings) -> None:
        speak(alice, "tlh")
        assert ask().language == "en"
        settings.NOTIFICATION_LANGUAGES = [("de", "Deutsch")]
        assert ask().language == "de"

    def test_a_language_of_an_operators_own_falls_back_event_by_event(
        self, outage: Outage, alice: User, settings: Settings
    ) -> None:
        settings.NOTIFICATION_LANGUAGES = [("en", "English"), ("sv", "svenska")]
        speak(alice, "sv")
        template("offline", language="sv", subject="{device} är borta", text="Sedan {since}")
        hooks.device_offline(outage)
        hooks.device_back(Outage(uuid7(), outage.device, outage.since, 5, "keepalive", timezone.now()))
        said = Notification.objects.filter(account=outage.device.account).order_by("created_at")
        assert [one.subject for one in said] == ["Pump är borta", "Pump is back"]


class TestChecks:
    @pytest.mark.parametrize(
        ("parts", "field"),
        [
            ({"subject": "{left}"}, "subject"), ({"text": "{{ settings.SECRET_KEY }}"}, "text"),
            ({"short": "{% now %}"}, "short"),
            ({"html": "<p>{device.name}</p>"}, "html"), ({"html": "<p>&#123;devise&#125;</p>"}, "html"),
            ({"html": "<script>"}, "html"),
            ({"language": "tlh"}, "language"), ({"text": " \u202e "}, "text"), ({"subject": "\r\n"}, "subject"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_filled_is_refused(self, parts: dict[str, str], field: str) -> None:
        with pytest.raises(TemplateRefused) as refused:
            template("offline", **parts)
        assert refused.value.field == field
