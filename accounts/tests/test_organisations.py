from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings as portal
from django.db import transaction

from accounts import services
from accounts.hooks import MembershipChange
from accounts.models import Account, Invitation, Membership, Role, User
from accounts.services import change_role, create_organisation, create_user, delete_organisation, remove_member
from accounts.tests.helpers import PASSWORD, at_once, wait_for_a_lock


@pytest.fixture
def works(alice: User) -> Account:
    """An organisation that Alice owns."""
    return create_organisation(user=alice, name="Waterworks")


def person(name: str) -> User:
    return create_user(username=name, email=f"{name}@example.org", password=PASSWORD, first_name=name, last_name="X")


def join(account: Account, user: User, role: str) -> User:
    Membership.objects.create(account=account, user=user, role=role)
    return user


def role_of(account: Account, user: User) -> str | None:
    return Membership.objects.filter(account=account, user=user).values_list("role", flat=True).first()


# --- made, renamed ---------------------------------------------------------------------------------------------------------


def test_who_makes_an_organisation_owns_it(alice: User, heard: list[MembershipChange]) -> None:
    works = create_organisation(user=alice, name="Waterworks")

    assert (works.kind, works.name) == ("organisation", "Waterworks")
    assert role_of(works, alice) == "owner"
    assert heard == [MembershipChange(works.pk, alice.pk, "owner")]


@pytest.mark.parametrize(
    ("typed", "stored"),
    [("  Water   works ", "Water works"), ("Stadtwerke Mu\u0308nchen", "Stadtwerke M\xfcnchen"), ("R&D / Lab 2.0", None)],
)
def test_a_name_is_stored_as_people_read_it(alice: User, typed: str, stored: str | None) -> None:
    assert create_organisation(user=alice, name=typed).name == (stored or typed)


@pytest.mark.parametrize(
    "name", ["", "   ", "\u200b", "x" * 81, "a\u202eb", "a\0b", "a\ud800b", "Win at evil.com", "http://x", "WWW.EVIL", "x://y"]
)
def test_some_names_cannot_be_had(alice: User, works: Account, name: str) -> None:
    with pytest.raises(services.InvalidName):
        create_organisation(user=alice, name=name)
    with pytest.raises(services.InvalidName):
        services.rename_organisation(account=works, by=alice, name=name)


@pytest.mark.django_db(transaction=True)
def test_the_limit_of_organisations_holds_for_requests_at_once(alice: User, settings: object) -> None:
    settings.ORGANISATIONS_PER_USER = 3  # type: ignore[attr-defined]  # pytest-django's settings
    results = at_once(6, lambda: create_organisation(user=alice, name="Waterworks"))

    assert Account.objects.filter(kind="organisation").count() == 3
    assert sum(isinstance(result, services.TooManyOrganisations) for result in results) == 3


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("operator", False), ("admin", True), ("owner", True)])
def test_who_manages_an_organisation_renames_it(works: Account, bob: User, role: str, may: bool) -> None:
    join(works, bob, role)
    if may:
        assert services.rename_organisation(account=works, by=bob, name="Canal").name == "Canal"
    else:
        with pytest.raises(services.RoleTooLow):
            services.rename_organisation(account=works, by=bob, name="Canal")


def test_a_personal_account_is_no_organisation(alice: User, bob: User) -> None:
    mine = services.personal_account(alice)
    for call in (
        lambda: services.rename_organisation(account=mine, by=alice, name="x"),
        lambda: services.invite(account=mine, by=alice, email="bob@example.org", role="viewer"),
        lambda: change_role(account=mine, by=alice, user=alice, role="viewer"),
        lambda: remove_member(account=mine, by=alice, user=alice),
        lambda: delete_organisation(account=mine, by=alice, name="alice"),
    ):
        with pytest.raises(services.NotAnOrganisation):
            call()


# --- roles -----------------------------------------------------------------------------------------------------------------

ROLES = [str(role) for role in Role]
RANK = {role: position for position, role in enumerate(ROLES)}


@pytest.mark.parametrize("mine", ROLES)
@pytest.mark.parametrize("theirs", ROLES)
@pytest.mark.parametrize("new", ROLES)
def test_nobody_gives_or_takes_a_role_above_their_own(works: Account, bob: User, mine: str, theirs: str, new: str) -> None:
    carol = join(works, person("carol"), theirs)
    join(works, bob, mine)
    may = mine in {"admin", "owner"} and RANK[theirs] <= RANK[mine] and RANK[new] <= RANK[mine]
    if may:
        change_role(account=works, by=bob, user=carol, role=new)
    else:
        with pytest.raises(services.RoleTooLow):
            change_role(account=works, by=bob, user=carol, role=new)
    assert role_of(works, carol) == (new if may else theirs)


@pytest.mark.parametrize("role", ROLES)
def test_nobody_raises_themselves(works: Account, bob: User, role: str) -> None:
    join(works, bob, role)
    for higher in ROLES[RANK[role] + 1 :]:
        with pytest.raises(services.RoleTooLow):
            change_role(account=works, by=bob, user=bob, role=higher)
    assert role_of(works, bob) == role


def test_an_owner_who_may_not_act_as_one_is_an_admin(works: Account, alice: User, bob: User) -> None:
    join(works, bob, "viewer")
    change_role(account=works, by=alice, user=bob, role="admin", as_owner=False)
    for call in (
        lambda: change_role(account=works, by=alice, user=bob, role="owner", as_owner=False),
        lambda: services.invite(account=works, by=alice, email="x@example.org", role="owner", as_owner=False),
        lambda: delete_organisation(account=works, by=alice, name="Waterworks", as_owner=False),
    ):
        with pytest.raises(services.RoleTooLow):
            call()
    change_role(account=works, by=alice, user=bob, role="owner")
    with pytest.raises(services.RoleTooLow):
        remove_member(account=works, by=alice, user=bob, as_owner=False)
    with pytest.raises(services.RoleTooLow):
        remove_member(account=works, by=alice, user=alice, as_owner=False)


def test_a_change_is_told_and_the_same_role_again_is_none(
    works: Account, alice: User, bob: User, heard: list[MembershipChange]
) -> None:
    join(works, bob, "viewer")
    change_role(account=works, by=alice, user=bob, role="operator")
    change_role(account=works, by=alice, user=bob, role="operator")

    assert heard == [MembershipChange(works.pk, bob.pk, "operator")]


def test_strangers_change_nothing(works: Account, alice: User, bob: User) -> None:
    for call in (
        lambda: change_role(account=works, by=bob, user=alice, role="viewer"),
        lambda: change_role(account=works, by=alice, user=bob, role="viewer"),
        lambda: remove_member(account=works, by=bob, user=alice),
        lambda: remove_member(account=works, by=bob, user=bob),
        lambda: services.invite(account=works, by=bob, email="x@example.org", role="viewer"),
        lambda: delete_organisation(account=works, by=bob, name="Waterworks"),
    ):
        with pytest.raises(services.NoSuchMember):
            call()


# --- the last owner --------------------------------------------------------------------------------------------------------


def test_the_last_owner_stays(works: Account, alice: User, bob: User) -> None:
    join(works, bob, "admin")
    with pytest.raises(services.LastOwner):
        change_role(account=works, by=alice, user=alice, role="admin")
    with pytest.raises(services.LastOwner):
        remove_member(account=works, by=alice, user=alice)

    change_role(account=works, by=alice, user=bob, role="owner")
    remove_member(account=works, by=alice, user=alice)
    assert role_of(works, alice) is None


def test_an_owner_who_was_shut_out_does_not_count(works: Account, alice: User, bob: User) -> None:
    join(works, bob, "owner")
    services.deactivate_user(user=bob)
    with pytest.raises(services.LastOwner):
        remove_member(account=works, by=alice, user=alice)
    remove_member(account=works, by=alice, user=bob)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["leave", "step down", "throw the other out"])
def test_two_owners_who_go_at_once_leave_one(alice: User, bob: User, way: str) -> None:
    works = create_organisation(user=alice, name="Waterworks")
    join(works, bob, "owner")
    people = iter([(alice, bob), (bob, alice)])

    def go() -> None:
        me, other = next(people)
        if way == "leave":
            remove_member(account=works, by=me, user=me)
        elif way == "step down":
            change_role(account=works, by=me, user=me, role="viewer")
        else:
            remove_member(account=works, by=me, user=other)

    results = at_once(2, go)
    assert Membership.objects.filter(account=works, role="owner").count() == 1
    refused = services.NoSuchMember if way == "throw the other out" else services.LastOwner
    assert [type(result) for result in results if result] == [refused]


@pytest.mark.django_db(transaction=True)
def test_a_role_that_is_being_lost_is_not_used_once_more(alice: User, bob: User) -> None:
    works = create_organisation(user=alice, name="Waterworks")
    carol = join(works, person("carol"), "viewer")
    join(works, bob, "admin")
    with ThreadPoolExecutor(1) as other:
        with transaction.atomic():
            remove_member(account=works, by=alice, user=bob)
            late = other.submit(at_once, 1, lambda: change_role(account=works, by=bob, user=carol, role="admin"))
            wait_for_a_lock()
        assert isinstance(late.result(20)[0], services.NoSuchMember)
    assert role_of(works, carol) == "viewer"


# --- leaving, deleting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_everybody_else_may_leave(works: Account, bob: User, role: str, heard: list[MembershipChange]) -> None:
    join(works, bob, role)
    remove_member(account=works, by=bob, user=bob)

    assert role_of(works, bob) is None
    assert heard == [MembershipChange(works.pk, bob.pk, None)]


@pytest.mark.parametrize("name", ["", "waterworks", "Waterworks2", "Water"])
def test_a_deletion_needs_the_name(works: Account, alice: User, name: str) -> None:
    with pytest.raises(services.WrongName):
        delete_organisation(account=works, by=alice, name=name)
    assert role_of(works, alice) == "owner"


def test_a_deletion_ends_memberships_and_invitations(
    works: Account, alice: User, bob: User, heard: list[MembershipChange]
) -> None:
    join(works, bob, "admin")
    services.invite(account=works, by=bob, email="x@example.org", role="viewer")
    with pytest.raises(services.RoleTooLow):
        delete_organisation(account=works, by=bob, name="Waterworks")

    delete_organisation(account=works, by=alice, name=" Waterworks ")
    assert not Account.objects.filter(pk=works.pk).exists()
    assert not Invitation.objects.exists()
    assert {(change.user_id, change.role) for change in heard} == {(alice.pk, None), (bob.pk, None)}
    with pytest.raises(services.NoSuchMember):
        services.rename_organisation(account=works, by=alice, name="x")


def test_limits_are_said_in_numbers() -> None:
    assert str(portal.ORGANISATIONS_PER_USER) in str(services.TooManyOrganisations())
    assert str(portal.MEMBERS_PER_ORGANISATION) in str(services.TooManyMembers())
