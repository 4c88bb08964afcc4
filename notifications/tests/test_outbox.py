"""From a device's request to a mail server's word, and what is written down of it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import ExitStack
from datetime import timedelta
from email import message_from_bytes, policy
from uuid import uuid4

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db import connection, connections
from django.test import override_settings
from django.utils import timezone

from accounts.models import Account, Membership, Role
from billing.models import Entry, Price
from billing.services import balance, give_credits, verify_ledger
from devices.models import Device
from devices.tests.factories import at_once, make_account, make_user
from notifications.models import Attempt, Channel, Lot, Notification, Recipient, Status, Suppression
from notifications.services import lanes, outbox, payments, records
from notifications.tests.conftest import Ask, MailServer


def become(one: Notification) -> Notification:
    one.refresh_from_db()
    return one


def due_now() -> None:
    Notification.objects.filter(status=Status.QUEUED).update(due_at=timezone.now())


def agree(account: Account, address: str) -> None:
    Recipient.objects.create(account=account, channel="email", address=address, confirmed_at=timezone.now())


class TestSending:
    def test_a_device_mails_its_owner(self, ask: Ask) -> None:
        one = ask("ALICE@example.org", "The pump stopped <b>now</b> {{ one.account }}")
        assert outbox.deliver() == 1
        (sent,) = mail.outbox
        assert sent.to == ["alice@example.org"]
        assert sent.subject == "Pump: The pump stopped <b>now</b> {{ one.account }}"
        assert "{{ one.account }}" in sent.body
        assert "<b>now</b>" in str(sent.body)
        assert isinstance(sent, EmailMultiAlternatives)
        assert "&lt;b&gt;now&lt;/b&gt;" in str(sent.alternatives[0][0])
        assert (become(one).status, one.tries, one.credits) == ("sent", 1, 0)
        attempt = one.attempts.get()
        assert (attempt.sender, attempt.outcome, attempt.vendor_id) == ("smtp", "accepted", f"<{one.hex}@localhost>")

    def test_the_bridge_may_tell_the_same_twice(self, ask: Ask) -> None:
        key = uuid4()
        ask(message_id=key)
        ask(message_id=key)
        outbox.deliver()
        assert outbox.deliver() == 0
        assert len(mail.outbox) == 1

    def test_a_message_is_kept_to_the_letter(self, ask: Ask) -> None:
        said = 'a "b" \\u0000 \\ {"c": [1, null]} %s 🌡️ \u05e9'
        assert become(ask(message=f"{said}\0\ud800")).message == said

    def test_headers_let_mail_programs_unsubscribe_and_loops_end(self, ask: Ask, mail_server: MailServer) -> None:
        one = ask(message="Hot\r\nBcc: evil@example.com\r\n\r\n🌡️")
        outbox.deliver()
        got = message_from_bytes(mail_server.taken[0], policy=policy.default)
        assert got["Bcc"] is None
        assert got["Subject"] == "Pump: Hot Bcc: evil@example.com 🌡️"
        assert got["Auto-Submitted"] == "auto-generated"
        assert got["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert got["List-Unsubscribe"].strip().startswith("<http://localhost/notifications/unsubscribe/")
        assert got["Message-ID"] == f"<{one.hex}@localhost>"

    def test_many_go_over_one_connection_and_each_once(self, ask: Ask, mail_server: MailServer) -> None:
        said = [f"number {number}" for number in range(60)]
        for text in said:
            ask(message=text)
        assert outbox.deliver() == 60
        subjects = [message_from_bytes(raw, policy=policy.default)["Subject"] for raw in mail_server.taken]
        assert sorted(subjects) == sorted(f"Pump: {text}" for text in said)


class TestConsent:
    def test_a_stranger_who_never_agreed_gets_nothing(self, ask: Ask) -> None:
        one = ask("stranger@example.com")
        outbox.deliver()
        assert mail.outbox == []
        assert (become(one).status, one.reason) == ("refused", "unconfirmed")

    @pytest.mark.parametrize("recipient", ["nobody", "a@example.com\r\nBcc: b@example.com", "x" * 3000, ""])
    def test_what_is_no_recipient_is_kept_refused(self, ask: Ask, recipient: str) -> None:
        one = ask(recipient)
        assert (one.status, one.reason) == ("refused", "bad_recipient")
        assert "\r" not in one.recipient

    def test_what_has_another_account_agreed_to_is_not_ours(self, ask: Ask) -> None:
        agree(make_account("bob"), "ops@example.com")
        one = ask("ops@example.com")
        outbox.deliver()
        assert become(one).reason == "unconfirmed"

    def test_a_member_may_be_written_to_until_they_leave(self, ask: Ask, account: Account) -> None:
        bert = make_user("bert")
        Membership.objects.create(user=bert, account=account, role=Role.VIEWER)
        first, second = ask("bert@example.org"), ask("bert@example.org")
        Notification.objects.filter(pk=second.pk).update(due_at=timezone.now() + timedelta(hours=1))
        outbox.deliver()
        Membership.objects.filter(user=bert).delete()
        due_now()
        outbox.deliver()
        assert (become(first).status, become(second).reason) == ("sent", "unconfirmed")

    @pytest.mark.parametrize("whole", [True, False])
    def test_whoever_said_no_is_not_written_to(self, ask: Ask, account: Account, whole: bool) -> None:
        Suppression.objects.create(
            account=None if whole else account, channel="email", address="alice@example.org", reason="unsubscribed"
        )
        one = ask()
        outbox.deliver()
        assert (become(one).status, one.reason) == ("refused", "unsubscribed")

    def test_a_no_to_another_account_is_no_no_to_this_one(self, ask: Ask) -> None:
        Suppression.objects.create(
            account=make_account("bob"), channel="email", address="alice@example.org", reason="unsubscribed"
        )
        one = ask()
        outbox.deliver()
        assert become(one).status == "sent"

    def test_a_channel_without_a_sender_is_refused(self, ask: Ask, account: Account) -> None:
        account.members.update(phone="+46701234567", phone_verified=True)
        one = ask("+46701234567")
        outbox.deliver()
        assert become(one).reason == "no_sender"


class TestFailures:
    def test_a_server_that_is_away_is_tried_again_later_each_time(self, ask: Ask) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            smtp = "django.core.mail.backends.smtp.EmailBackend"
            with override_settings(EMAIL_BACKEND=smtp, EMAIL_HOST="127.0.0.1", EMAIL_PORT=closed.getsockname()[1]):
                one = ask()
                waits = []
                for _ in range(4):
                    due_now()
                    outbox.deliver()
                    waits.append((become(one).due_at - timezone.now()).total_seconds())
        assert one.status == "queued"
        assert one.reason == "server_away"
        assert waits[3] > waits[0]
        assert waits[3] <= 40
        due_now()
        outbox.deliver()
        assert become(one).status == "sent"
        assert [try_.outcome for try_ in one.attempts.all()] == ["temporary"] * 4 + ["accepted"]

    def test_a_worker_does_not_spend_its_day_on_a_server_that_is_away(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lanes.LANES[Channel.EMAIL], "batch", 2)
        for number in range(6):
            ask(message=f"{number}")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            smtp = "django.core.mail.backends.smtp.EmailBackend"
            with override_settings(EMAIL_BACKEND=smtp, EMAIL_HOST="127.0.0.1", EMAIL_PORT=closed.getsockname()[1]):
                assert outbox.deliver() == 2
        assert Attempt.objects.count() == 1

    @pytest.mark.parametrize("pipelining", [False, True])
    def test_a_refused_recipient_is_final_and_says_why(self, ask: Ask, mail_server: MailServer, pipelining: bool) -> None:
        mail_server.recipient_answer, mail_server.pipelining = "550 no such mailbox", pipelining
        one = ask()
        outbox.deliver()
        assert (become(one).status, one.reason, one.detail) == ("failed", "refused_by_server", "550 no such mailbox")

    def test_what_a_server_says_is_kept_as_one_clean_line(self, ask: Ask, mail_server: MailServer) -> None:
        mail_server.recipient_answer = "550 no\0 such\x1b[31m mailbox"
        one = ask()
        outbox.deliver()
        assert (become(one).status, one.detail) == ("failed", "550 no such[31m mailbox")

    def test_after_a_server_hung_up_the_next_mail_goes_over_a_new_connection(self, ask: Ask, mail_server: MailServer) -> None:
        with ExitStack() as held:
            desk = outbox.Desk(held)
            mail_server.answer = "421 too many over this connection"
            ask()
            desk.handle(outbox.claim("email"))
            mail_server.answer = "250 OK"
            later = ask(message="the next one")
            desk.handle(outbox.claim("email"))
        assert become(later).status == "sent"

    def test_a_refused_mail_keeps_nobody_else_from_theirs(self, ask: Ask, mail_server: MailServer) -> None:
        mail_server.answer = "451 try later"
        later = ask()
        outbox.deliver()
        mail_server.answer = "250 OK"
        now = ask(message="the next one")
        outbox.deliver()
        assert (become(later).status, become(now).status) == ("queued", "sent")

    def test_it_is_given_up_a_day_after_its_first_try(self, ask: Ask, mail_server: MailServer) -> None:
        mail_server.answer = "451 try later"
        one = ask()
        outbox.deliver()
        assert become(one).status == "queued"
        Notification.objects.filter(pk=one.pk).update(judged_at=timezone.now() - timedelta(hours=25), due_at=timezone.now())
        outbox.deliver()
        assert (become(one).status, one.reason) == ("failed", "gave_up")

    def test_one_that_every_worker_stumbles_over_is_given_up(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        def stumble(_one: Notification) -> None:
            raise RuntimeError

        monkeypatch.setattr(outbox, "outgoing", stumble)
        one = ask()
        outbox.deliver()
        assert become(one).status == "queued"
        Notification.objects.filter(pk=one.pk).update(claims=outbox._MAX_CLAIMS, due_at=timezone.now())
        outbox.deliver()
        assert (become(one).status, one.reason) == ("failed", "gave_up")

    def test_one_that_cannot_even_be_given_up_keeps_nobody_else_from_theirs(self, ask: Ask) -> None:
        stuck, other = ask(), ask(message="the next one")
        Notification.objects.filter(pk=stuck.pk).update(claims=32_767)  # what the column holds
        outbox.deliver()
        assert become(other).status == "sent"

    def test_what_there_was_no_time_for_is_sent_by_whoever_comes_next(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        one = ask()
        with monkeypatch.context() as slow, ExitStack() as held:
            slow.setattr(outbox, "SEND_S", outbox.CLAIM_S)
            outbox.Desk(held).handle(outbox.claim("email"))
        assert (become(one).status, one.claims) == ("queued", 0)
        assert outbox.deliver() == 1
        assert become(one).status == "sent"

    def test_a_late_worker_does_not_overrule_the_one_who_came_after(self, ask: Ask) -> None:
        one = ask()
        (late,) = outbox.claim("email")
        due_now()
        outbox.deliver()
        records.finish(late, Status.FAILED, "gave_up")
        assert become(one).status == "sent"


class TestCredits:
    def test_ten_mails_to_others_cost_one_credit_together(self, ask: Ask, account: Account) -> None:
        agree(account, "ops@example.com")
        give_credits(account=account, credits=2, reason="Welcome", key="gift")
        sent = [ask("ops@example.com", f"{number}") for number in range(11)]
        outbox.deliver()
        assert {become(one).status for one in sent} == {"sent"}
        assert (balance(account), Lot.objects.get().left) == (0, 9)

    def test_without_credits_it_is_refused_and_ones_own_is_free(self, ask: Ask, account: Account) -> None:
        agree(account, "ops@example.com")
        paid, free = ask("ops@example.com"), ask()
        outbox.deliver()
        assert (become(paid).reason, become(free).status) == ("no_credits", "sent")

    def test_what_could_not_be_sent_is_given_back_once(self, ask: Ask, account: Account, mail_server: MailServer) -> None:
        agree(account, "ops@example.com")
        give_credits(account=account, credits=1, reason="Welcome", key="gift")
        mail_server.recipient_answer = "550 no such mailbox"
        one = ask("ops@example.com")
        outbox.deliver()
        assert (become(one).status, one.paid, Lot.objects.get().left) == ("failed", False, 10)
        records.finish(one, Status.FAILED, "gave_up")
        assert Lot.objects.get().left == 10
        mail_server.recipient_answer = "250 OK"
        again = ask("ops@example.com")
        outbox.deliver()
        assert (become(again).status, Lot.objects.get().left) == ("sent", 9)
        assert Entry.objects.filter(cause="spend").count() == 1
        verify_ledger()

    @pytest.mark.parametrize(("then", "now", "left", "credits"), [((7, 1), (1, 10), 9, 7), ((1, 10), (7, 1), 1, 0)])
    def test_what_is_given_back_follows_what_was_paid_and_not_the_price_of_now(
        self, ask: Ask, account: Account, then: tuple[int, int], now: tuple[int, int], left: int, credits: int
    ) -> None:
        agree(account, "ops@example.com")
        give_credits(account=account, credits=8, reason="Welcome", key="gift")

        def paid(credits: int, per: int) -> Notification:
            Price.objects.create(item=Price.Item.EMAIL, starts_at=timezone.now(), credits=credits, per=per)
            payments.pay(notification=(one := ask("ops@example.com")))
            return one

        first = paid(*then)
        Lot.objects.update(left=0)  # all of its lot are used
        paid(*now)
        assert (balance(account), Lot.objects.get().per) == (0, now[1])
        payments.give_back(notification=first)
        assert (balance(account), Lot.objects.get().left) == (credits, left)
        third = ask("ops@example.com")
        payments.pay(notification=third)  # by a place that is left, whatever one costs
        payments.give_back(notification=third)
        assert (balance(account), Lot.objects.get().left) == (credits, left)
        verify_ledger()

    def test_a_late_worker_pays_for_nothing_that_has_ended(self, ask: Ask, account: Account, mail_server: MailServer) -> None:
        agree(account, "ops@example.com")
        give_credits(account=account, credits=2, reason="Welcome", key="gift")
        mail_server.recipient_answer = "550 no such mailbox"
        one = ask("ops@example.com")
        late = outbox.claim("email")
        due_now()
        outbox.deliver()
        assert (become(one).status, Lot.objects.get().left) == ("failed", 10)
        with ExitStack() as held:
            outbox.Desk(held).handle(late)
        assert (become(one).paid, Lot.objects.get().left) == (False, 10)


@pytest.mark.django_db(transaction=True)
class TestRaces:
    @pytest.fixture
    def device(self, transactional_db: None, device: Device) -> Device:
        return device

    def test_what_was_taken_while_postgresql_went_away_is_written_down_once(self, ask: Ask, mail_server: MailServer) -> None:
        said = [ask(message=f"number {number}") for number in range(3)]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            ours = cursor.fetchone()

        def end() -> None:
            mail_server.meanwhile = None
            with connection.cursor() as cursor:  # of this thread
                cursor.execute("SELECT pg_terminate_backend(%s)", ours)
            connections.close_all()

        mail_server.meanwhile = end
        assert outbox.deliver("email") == 3
        assert {become(one).status for one in said} == {"sent"}
        assert len(mail_server.taken) == Attempt.objects.count() == 3

    def test_of_three_workers_one_is_killed_and_nothing_is_lost_or_doubled(self, ask: Ask, mail_server: MailServer) -> None:
        said = [ask(message=f"number {number}") for number in range(12)]
        mail_server.stall = threading.Event()
        connections.close_all()  # the child must not speak on them
        child = os.fork()
        if child == 0:
            try:
                outbox.deliver()
            finally:
                os._exit(0)
        assert mail_server.arrived.wait(20)  # a whole mail is there, and not taken yet
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        mail_server.stall.set()
        mail_server.stall = None
        assert outbox.deliver() == 0  # all is claimed, by a worker who is no more
        Notification.objects.update(due_at=timezone.now())  # its time is over
        at_once(outbox.deliver, outbox.deliver)
        assert {become(one).status for one in said} == {"sent"}
        assert len(mail_server.taken) == len(set(mail_server.taken)) == Attempt.objects.count() == 12
