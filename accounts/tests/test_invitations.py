from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core.mail import EmailMessage
from django.utils import timezone

from accounts import services
from accounts.hooks import MembershipChange
from accounts.models import Account, Invitation, Membership, User
from accounts.services import accept_invitation, create_organisation, find_invitation, invite, remove_member
from accounts.tests.helpers import at_once

BOB = "bob@example.org"
Commits = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def works(alice: User) -> Account:
    """An organisation that Alice owns."""
    return create_organisation(user=alice, name="Waterworks & Söhne")


def role_of(account: Account, user: User) -> str | None:
    return Membership.objects.filter(account=account, user=user).values_list("role", flat=True).first()


def secret_in(mail: EmailMessage) -> str:
    found = re.search(r"/invitations/([A-Za-z0-9_-]+)/", str(mail.body))
    assert found
    return found[1]


def test_an_invitation_goes_out_and_lets_its_address_in(
    works: Account, alice: User, bob: User, mailoutbox: list[EmailMessage], django_capture_on_commit_callbacks: Commits,
    heard: list[MembershipChange],
) -> None:  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        invite(account=works, by=alice, email="Bob@Example.org", role="operator")
    (mail,) = mailoutbox
    assert mail.to == [BOB]
    assert mail.subject == "alice invites you to Waterworks & Söhne on IoT Portal"
    assert "as operator: sees devices and sends them commands" in str(mail.body)
    assert "Waterworks &amp; Söhne" in str(mail.alternatives[0][0])  # type: ignore[attr-defined]  # an EmailMultiAlternatives

    found = find_invitation(secret_in(mail))
    assert found is not None
    assert secret_in(mail) not in str(list(Invitation.objects.values_list()))
    assert services.invitations_to(bob) == [found]
    accept_invitation(invitation=found, user=bob)
    assert role_of(works, bob) == "operator"
    assert heard == [MembershipChange(works.pk, bob.pk, "operator")]
    assert find_invitation(secret_in(mail)) is None
    with pytest.raises(services.NoSuchInvitation):
        accept_invitation(invitation=found, user=bob)


def test_nobody_else_takes_it(works: Account, alice: User, bob: User) -> None:
    made = invite(account=works, by=alice, email="carol@example.org", role="admin")
    EmailAddress.objects.create(user=bob, email="carol@example.org", verified=False)  # claimed, not proven

    assert services.invitations_to(bob) == []
    for call in (accept_invitation, services.decline_invitation):
        with pytest.raises(services.NotInvited):
            call(invitation=made, user=bob)
    assert role_of(works, bob) is None


def test_a_second_confirmed_address_counts_too(works: Account, alice: User, bob: User) -> None:
    made = invite(account=works, by=alice, email="robert@example.org", role="viewer")
    EmailAddress.objects.create(user=bob, email="Robert@example.org", verified=True)

    assert services.invitations_to(bob) == [made]
    accept_invitation(invitation=made, user=bob)
    with pytest.raises(services.AlreadyMember):
        invite(account=works, by=alice, email="ROBERT@example.org", role="viewer")


def test_it_ends_after_seven_days(works: Account, alice: User, bob: User) -> None:
    made = invite(account=works, by=alice, email=BOB, role="viewer")
    with time_machine.travel(timezone.now() + timedelta(days=7, seconds=1)):
        assert services.invitations_to(bob) == []
        with pytest.raises(services.NoSuchInvitation):
            accept_invitation(invitation=made, user=bob)
        assert invite(account=works, by=alice, email=BOB, role="operator").pk != made.pk, "an old one is in nobody's way"
    assert Invitation.objects.count() == 1


def test_one_address_has_one_invitation(works: Account, alice: User) -> None:
    invite(account=works, by=alice, email=BOB, role="viewer")
    with pytest.raises(services.AlreadyInvited):
        invite(account=works, by=alice, email="BOB@example.org", role="viewer")


def test_sending_it_again_makes_a_new_link_and_new_days(
    works: Account, alice: User, mailoutbox: list[EmailMessage], django_capture_on_commit_callbacks: Commits
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = invite(account=works, by=alice, email=BOB, role="viewer")
    with time_machine.travel(timezone.now() + timedelta(days=6)):
        with django_capture_on_commit_callbacks(execute=True):
            services.resend_invitation(invitation=made, by=alice)
        assert find_invitation(secret_in(mailoutbox[0])) is None
        found = find_invitation(secret_in(mailoutbox[1]))
        assert found == made
        assert found.expires_at > timezone.now() + timedelta(days=6)


def test_a_withdrawn_or_declined_one_is_gone(works: Account, alice: User, bob: User) -> None:
    for withdrawn in (True, False):
        made = invite(account=works, by=alice, email=BOB, role="viewer")
        if withdrawn:
            services.withdraw_invitation(invitation=made, by=alice)
        else:
            services.decline_invitation(invitation=made, user=bob)
        with pytest.raises(services.NoSuchInvitation):
            accept_invitation(invitation=made, user=bob)


def test_who_is_a_member_already_keeps_the_role(works: Account, alice: User, bob: User) -> None:
    made = invite(account=works, by=alice, email=BOB, role="owner")
    Membership.objects.create(account=works, user=bob, role="viewer")

    assert accept_invitation(invitation=made, user=bob).role == "viewer"
    assert not Invitation.objects.exists()


# --- whose word it is ------------------------------------------------------------------------------------------------------


@pytest.fixture
def given_by_carl(works: Account, alice: User) -> tuple[User, Invitation]:
    """Carl, an admin, has invited Bob as an admin."""
    carl = services.create_user(username="carl", email="carl@example.org", password="x", first_name="C", last_name="L")
    Membership.objects.create(account=works, user=carl, role="admin")
    return carl, invite(account=works, by=carl, email=BOB, role="admin")


@pytest.mark.parametrize("role", ["viewer", "operator", "admin", "owner"])
@pytest.mark.parametrize("offered", ["viewer", "operator", "admin", "owner"])
def test_nobody_invites_above_their_own_role(works: Account, bob: User, role: str, offered: str) -> None:
    Membership.objects.create(account=works, user=bob, role=role)
    if role == "owner" or (role == "admin" and offered != "owner"):
        made = invite(account=works, by=bob, email="x@example.org", role=offered)
        services.resend_invitation(invitation=made, by=bob)
        services.withdraw_invitation(invitation=made, by=bob)
    else:
        with pytest.raises(services.RoleTooLow):
            invite(account=works, by=bob, email="x@example.org", role=offered)


def test_an_admin_does_not_touch_an_owners_invitation(works: Account, alice: User, bob: User) -> None:
    Membership.objects.create(account=works, user=bob, role="admin")
    made = invite(account=works, by=alice, email="x@example.org", role="owner")
    for call in (services.resend_invitation, services.withdraw_invitation):
        with pytest.raises(services.RoleTooLow):
            call(invitation=made, by=bob)


@pytest.mark.parametrize("end", ["removed", "left", "made a viewer", "shut out", "deleted"])
def test_an_invitation_is_as_good_as_its_giver(
    works: Account, alice: User, bob: User, given_by_carl: tuple[User, Invitation], end: str
) -> None:
    carl, made = given_by_carl
    match end:
        case "removed":
            remove_member(account=works, by=alice, user=carl)
        case "left":
            remove_member(account=works, by=carl, user=carl)
        case "made a viewer":
            services.change_role(account=works, by=alice, user=carl, role="viewer")
        case "shut out":
            services.deactivate_user(user=carl)
        case "deleted":
            carl.delete()
    assert services.invitations_to(bob) == []
    with pytest.raises(services.NoSuchInvitation):
        accept_invitation(invitation=made, user=bob)


def test_another_who_may_can_send_it_again_in_their_own_name(
    works: Account, alice: User, bob: User, given_by_carl: tuple[User, Invitation]
) -> None:
    carl, made = given_by_carl
    services.deactivate_user(user=carl)
    services.resend_invitation(invitation=made, by=alice)

    assert accept_invitation(invitation=made, user=bob).role == "admin"


# --- bounds ----------------------------------------------------------------------------------------------------------------


def test_an_organisation_has_a_limit_with_invitations_counted_in(works: Account, alice: User, bob: User, settings: Any) -> None:
    settings.MEMBERS_PER_ORGANISATION = 3
    made = invite(account=works, by=alice, email=BOB, role="viewer")
    invite(account=works, by=alice, email="x@example.org", role="viewer")
    with pytest.raises(services.TooManyMembers):
        invite(account=works, by=alice, email="y@example.org", role="viewer")
    settings.MEMBERS_PER_ORGANISATION = 1
    with pytest.raises(services.TooManyMembers):
        accept_invitation(invitation=made, user=bob)
    assert Invitation.objects.filter(pk=made.pk).exists(), "it can be taken once there is room"


def test_one_address_gets_five_mails_a_day_of_one_organisation(works: Account, alice: User) -> None:
    made = invite(account=works, by=alice, email=BOB, role="viewer")
    for _ in range(4):
        services.resend_invitation(invitation=made, by=alice)
    before = Invitation.objects.get().secret_hash
    with pytest.raises(services.TooManyInvitations):
        services.resend_invitation(invitation=made, by=alice)
    assert Invitation.objects.get().secret_hash == before, "the link that was sent goes on working"
    invite(account=create_organisation(user=alice, name="Other"), by=alice, email=BOB, role="viewer")


def test_one_user_sends_thirty_an_hour_whatever_the_organisation(works: Account, alice: User) -> None:
    other = create_organisation(user=alice, name="Other")
    for number in range(30):
        invite(account=(works, other)[number % 2], by=alice, email=f"x{number}@example.org", role="viewer")
    with pytest.raises(services.TooManyInvitations):
        invite(account=other, by=alice, email="y@example.org", role="viewer")


@pytest.mark.django_db(transaction=True)
def test_one_invitation_taken_twice_at_once_makes_one_membership(alice: User, bob: User) -> None:
    works = create_organisation(user=alice, name="Waterworks")
    made = invite(account=works, by=alice, email=BOB, role="operator")
    results = at_once(2, lambda: accept_invitation(invitation=made, user=bob))

    assert Membership.objects.filter(account=works, user=bob).count() == 1
    assert sorted(type(result).__name__ for result in results) == ["Membership", "NoSuchInvitation"]


@pytest.mark.parametrize("secret", ["", "x", "\0", "é" * 43, "x" * 100_000])
def test_nonsense_is_no_link(works: Account, secret: str) -> None:
    assert find_invitation(secret) is None


def test_old_ones_are_cleared_away(works: Account, alice: User) -> None:
    invite(account=works, by=alice, email=BOB, role="viewer")
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        assert services.delete_ended_invitations() == 0, "for another week its link can say that it ended"
    with time_machine.travel(timezone.now() + timedelta(days=15)):
        assert services.delete_ended_invitations() == 1
