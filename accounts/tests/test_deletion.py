"""Deleting one's account, from the wish to the last row."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.mail import EmailMessage
from django.db import transaction
from django.test import Client, TestCase
from django.utils import timezone

from accounts import hooks, services
from accounts.hooks import Departure, MembershipChange
from accounts.models import Account, ApiToken, Invitation, Membership, Role, User
from accounts.services import (
    LastOwner,
    create_organisation,
    create_token,
    delete_due,
    keep_account,
    remove_member,
    request_deletion,
    tries,
)
from accounts.tests.helpers import PASSWORD, SIGN_IN, at_once

DELETE, LEAVING, KEEP, ACCOUNT = "/account/delete/", "/account/leaving/", "/account/keep/", "/account/"
GRACE = timedelta(days=7, minutes=1)


@pytest.fixture
def here(alice: User) -> Client:
    """Return a browser in which Alice has just signed in."""
    client = Client()
    client.post(SIGN_IN, {"login": "alice", "password": PASSWORD})
    return client


def run() -> int:
    """Run the task once, as a worker does."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        return delete_due()


def test_the_account_goes_after_the_days_of_grace_and_takes_all_that_is_personal_along(
    here: Client, alice: User, mailoutbox: list[EmailMessage]
) -> None:
    create_token(user=alice, name="ci")
    assert here.post(DELETE, {"name": "alice"})["Location"] == LEAVING
    assert run() == 0
    assert ApiToken.objects.exists(), "nothing ends before its time"
    with time_machine.travel(timezone.now() + GRACE):
        assert run() == 1
        alice.refresh_from_db()
        assert not alice.is_active
        assert not ApiToken.objects.exists()
        assert here.get(LEAVING).status_code == 302
        assert run() == 1
        assert run() == 0
    assert not User.objects.exists()
    assert not Account.objects.exists()
    assert [one.subject for one in mailoutbox] == [
        "Your account at IoT Portal is to be deleted",
        "Your account at IoT Portal is deleted",
    ]
    assert {address for one in mailoutbox for address in one.to} == {"alice@example.org"}


def test_who_signs_in_meanwhile_is_asked_and_can_keep_the_account(
    here: Client, alice: User, mailoutbox: list[EmailMessage]
) -> None:
    here.post(DELETE, {"name": "Alice"})
    for page in (ACCOUNT, "/devices/", "/settings/", "/account/tokens/new/"):
        assert here.get(page)["Location"] == LEAVING, page
    assert b"Keep my account" in here.get(LEAVING).content
    assert here.get(KEEP).status_code == 405, "a link in a mail must not do it"
    assert b"Your account stays." in here.post(KEEP, follow=True).content
    alice.refresh_from_db()
    assert alice.delete_at is None
    with time_machine.travel(timezone.now() + GRACE):
        assert run() == 0
    assert mailoutbox[-1].subject == "Your account at IoT Portal stays"
    assert here.get(LEAVING)["Location"] == ACCOUNT
    here.post(KEEP)
    assert len(mailoutbox) == 2, "keeping twice says nothing twice"


@pytest.mark.parametrize("name", ["", "bob", "alice@example.org", "alice2", "x" * 300, "a\0lice"])
def test_only_ones_own_user_name_confirms_it(here: Client, alice: User, name: str) -> None:
    assert here.post(DELETE, {"name": name}).status_code == 400
    alice.refresh_from_db()
    assert alice.delete_at is None


def test_a_sign_in_that_is_not_recent_does_not_do(here: Client, alice: User) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert here.post(DELETE, {"name": "alice"})["Location"].startswith("/accounts/confirm/")
    alice.refresh_from_db()
    assert alice.delete_at is None


def test_asking_twice_does_not_move_the_day(alice: User, mailoutbox: list[EmailMessage]) -> None:
    first = request_deletion(user=alice, name="alice")
    with time_machine.travel(timezone.now() + timedelta(days=3)):
        assert request_deletion(user=alice, name="alice") == first


def test_staff_cannot_go_by_themselves(here: Client, alice: User) -> None:
    alice.is_staff = True
    alice.save()
    response = here.post(DELETE, {"name": "alice"})
    assert response.status_code == 400
    assert b"You work for this portal." in response.content


def test_the_only_owner_of_an_organisation_hands_it_over_first(here: Client, alice: User, bob: User) -> None:
    works = create_organisation(user=alice, name="Waterworks")
    assert b"You are the only owner of" in here.get(DELETE).content
    assert here.post(DELETE, {"name": "alice"}).status_code == 400
    Membership.objects.create(account=works, user=bob, role=Role.OWNER)
    assert here.post(DELETE, {"name": "alice"}).status_code == 302


def test_an_owner_who_is_about_to_go_does_not_count_as_one(alice: User, bob: User) -> None:
    works = create_organisation(user=alice, name="Waterworks")
    Membership.objects.create(account=works, user=bob, role=Role.OWNER)
    request_deletion(user=alice, name="alice")
    with pytest.raises(services.OnlyOwner):
        request_deletion(user=bob, name="bob")
    with pytest.raises(LastOwner):
        remove_member(account=works, by=bob, user=bob)


def test_who_became_the_only_owner_meanwhile_is_told_and_stays_for_now(alice: User, mailoutbox: list[EmailMessage]) -> None:
    request_deletion(user=alice, name="alice")
    create_organisation(user=alice, name="Waterworks")  # over the API
    with time_machine.travel(timezone.now() + GRACE):
        assert run() == 0
        assert run() == 0
    alice.refresh_from_db()
    assert alice.is_active
    assert mailoutbox[-1].subject == "Your account at IoT Portal could not be deleted yet"
    assert "Waterworks" in str(mailoutbox[-1].body)
    assert len(mailoutbox) == 1, "one mail a day"


def test_others_hear_that_a_member_left_and_their_invitations_end(alice: User, bob: User) -> None:
    works = create_organisation(user=bob, name="Waterworks")
    Membership.objects.create(account=works, user=alice, role=Role.ADMIN)
    services.invite(account=works, by=alice, email="carol@example.org", role=Role.VIEWER)
    told: list[MembershipChange] = []
    hooks.membership_changed.register(told.append)
    try:
        request_deletion(user=alice, name="alice")
        with time_machine.travel(timezone.now() + GRACE):
            run()
    finally:
        hooks.membership_changed._handlers.remove(told.append)
    assert MembershipChange(works.pk, alice.pk, None) in told
    assert not Invitation.objects.exists()
    assert Account.objects.filter(pk=works.pk).exists()


def test_a_run_that_broke_off_is_taken_up_by_the_next_and_holds_nobody_up(alice: User, bob: User) -> None:
    def broken(departure: Departure) -> None:
        if departure.user == alice:
            raise RuntimeError("the power went")

    for user in (alice, bob):
        request_deletion(user=user, name=user.username)
    with time_machine.travel(timezone.now() + GRACE):
        run()
        hooks.person_erased.register(broken)
        try:
            assert run() == 1
        finally:
            hooks.person_erased._handlers.remove(broken)
        assert list(User.objects.values_list("username", flat=True)) == ["alice"]
        assert run() == 1
    assert not User.objects.exists()


def test_who_was_deactivated_before_is_cut_in_one_run_and_erased_in_the_next(alice: User) -> None:
    request_deletion(user=alice, name="alice")
    services.deactivate_user(user=alice)
    erased: list[Departure] = []
    hooks.person_erased.register(erased.append)
    try:
        with time_machine.travel(timezone.now() + GRACE):
            assert run() == 1
            assert not erased, "messages may still be under way"
            assert User.objects.exists()
            assert run() == 1
    finally:
        hooks.person_erased._handlers.remove(erased.append)
    assert len(erased) == 1
    assert not User.objects.exists()


def test_what_former_operators_did_stays_in_the_log_beside_nobodys_name(alice: User, bob: User) -> None:
    for user in (alice, bob):
        LogEntry.objects.create(user=user, object_repr="carol", action_flag=CHANGE, change_message="Deactivate: asked by phone")
        request_deletion(user=user, name=user.username)
    with time_machine.travel(timezone.now() + GRACE):
        run()
        run()
        assert run() == 0
    assert LogEntry.objects.count() == 2
    for one in User.objects.all():
        assert one.username.startswith("deleted-")
        assert (one.first_name, one.last_name, one.phone, one.delete_at) == ("", "", "", None)
        assert not one.is_active
        assert not one.has_usable_password()
        assert one.email.endswith(".invalid")
    assert User.objects.count() == 2


def test_the_admins_log_forgets_whom_operators_helped_and_keeps_why(alice: User, bob: User) -> None:
    account = services.personal_account(alice)
    for one in (alice, account, bob):
        kind = ContentType.objects.get_for_model(one)
        words = {"object_repr": str(one), "change_message": "Unlock: asked by phone"}
        LogEntry.objects.create(user=bob, content_type=kind, object_id=str(one.pk), action_flag=CHANGE, **words)
    request_deletion(user=alice, name="alice")
    with time_machine.travel(timezone.now() + GRACE):
        run()
        run()
    assert sorted(LogEntry.objects.values_list("object_repr", flat=True)) == ["bob", "deleted", "deleted"]
    assert set(LogEntry.objects.values_list("change_message", flat=True)) == {"Unlock: asked by phone"}


def test_from_where_somebody_signed_in_is_forgotten_with_them(alice: User) -> None:
    tries.know_address(names=(alice.username, alice.email), address="192.0.2.7")
    request_deletion(user=alice, name="alice")
    with time_machine.travel(timezone.now() + GRACE):
        run()
        run()
    for name in ("alice", "alice@example.org"):
        assert tries._addresses(tries.name_hash(name)) == []


def test_who_is_shut_out_cannot_be_kept_any_more(alice: User) -> None:
    request_deletion(user=alice, name="alice")
    with time_machine.travel(timezone.now() + GRACE):
        run()
        assert not keep_account(user=alice)


def test_two_owners_who_go_at_once_do_not_count_on_each_other(transactional_db: None, alice: User, bob: User) -> None:

    works = create_organisation(user=alice, name="Waterworks")
    Membership.objects.create(account=works, user=bob, role=Role.OWNER)
    people = [alice, bob]

    def go() -> object:
        me = people.pop()
        with transaction.atomic():
            return request_deletion(user=me, name=me.username)

    results = at_once(2, go)
    assert sorted(type(one).__name__ for one in results) == ["OnlyOwner", "datetime"]
