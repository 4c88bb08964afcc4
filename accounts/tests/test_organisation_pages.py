from __future__ import annotations

import re
from uuid import UUID

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import EmailMessage
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts import services
from accounts.models import Account, Invitation, Membership, User
from accounts.services import create_organisation, create_user, invite
from accounts.tests.helpers import PASSWORD, SIGN_IN, code_in, sign_up_data

BOB = "bob@example.org"
Mails = list[EmailMessage]


@pytest.fixture
def works(alice: User) -> Account:
    """An organisation that Alice owns."""
    return create_organisation(user=alice, name="Waterworks")


@pytest.fixture
def as_bob(bob: User) -> Client:
    client = Client()
    client.force_login(bob)
    return client


def url(account: Account, *more: object) -> str:
    return "/".join(["/account/organisations", str(account.pk), *map(str, more), ""])


def follow_mail(browser: Client, mail: EmailMessage) -> str:
    """Open the link of an invitation's mail and return the page that it leads to."""
    found = re.search(r"http://[^/]+(/invitations/\S+/)", str(mail.body))
    assert found
    return browser.get(found[1], follow=True).content.decode()


def join(account: Account, user: User, role: str) -> None:
    Membership.objects.create(account=account, user=user, role=role)


# --- making one, and what each role is offered -----------------------------------------------------------------------------


def test_one_is_made_and_stands_on_the_account_page(as_alice: Client) -> None:
    made = as_alice.post("/account/organisations/new/", {"name": "Waterworks"})
    page = as_alice.get(made["Location"]).content.decode()

    assert "Waterworks" in page
    assert "your role: owner" in page
    assert made["Location"] in as_alice.get("/account/").content.decode()


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "win at evil.com"])
def test_a_name_that_cannot_be_had_is_said_at_the_field(as_alice: Client, name: str) -> None:
    response = as_alice.post("/account/organisations/new/", {"name": name})

    assert response.status_code == 400
    assert 'aria-invalid="true"' in response.content.decode()


def test_the_limit_is_said(as_alice: Client, works: Account, settings: object) -> None:
    settings.ORGANISATIONS_PER_USER = 1  # type: ignore[attr-defined]  # pytest-django's settings
    assert "You own 1 organisations" in as_alice.post("/account/organisations/new/", {"name": "x"}).content.decode()


OFFERS = {
    "viewer": {"leave"},
    "operator": {"leave"},
    "admin": {"leave", "invitations", "name", "role"},
    "owner": {"leave", "invitations", "name", "role", "delete"},
}


@pytest.mark.parametrize("role", OFFERS)
def test_a_page_offers_what_the_role_may_and_nothing_else(works: Account, as_bob: Client, bob: User, role: str) -> None:
    join(works, bob, role)
    page = as_bob.get(url(works)).content.decode()

    found = set(re.findall(rf"{url(works)}(?:members/[^/]+/)?(\w+)/", page))
    assert found - {"remove"} == OFFERS[role]
    assert ("alice@example.org" in page) == (role in {"admin", "owner"}), "addresses are for those who invite"
    for row in re.findall(r'<li id="member.*?</li>', page, re.DOTALL):
        if ">alice<" in row or "alice ·" in row:
            assert ("<select" in row) == (role == "owner"), "an owner's role is changed by owners alone"


def test_strangers_see_nothing_and_personal_accounts_have_no_page(as_bob: Client, works: Account, bob: User) -> None:
    mine = services.personal_account(bob)
    for account in (works, mine, Account(pk=UUID(int=1))):
        for path in (url(account), url(account, "delete"), url(account, "leave")):
            assert as_bob.get(path).status_code == 404


def test_a_page_of_many_members_takes_few_queries(
    as_alice: Client, works: Account, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        user = User.objects.create(username=f"user{number}", email=f"user{number}@example.org")
        join(works, user, "viewer")
        Invitation.objects.create(
            account=works, email=f"x{number}@example.org", role="viewer", secret_hash=str(number), expires_at="2100-01-01T00:00Z"
        )
    with django_assert_max_num_queries(
        19
    ):  # however many members and invitations; session and counter, not cached yet, among them
        assert "user19" in as_alice.get(url(works)).content.decode()


# --- members ---------------------------------------------------------------------------------------------------------------


def test_a_role_is_changed_and_a_member_removed(as_alice: Client, works: Account, bob: User) -> None:
    join(works, bob, "viewer")
    page = as_alice.post(url(works, "members", bob.uuid, "role"), {"role": "operator"}, follow=True).content.decode()
    assert "bob is operator from now on." in page

    assert "Remove bob?" in as_alice.get(url(works, "members", bob.uuid, "remove")).content.decode()
    assert bob in works.members.all()
    page = as_alice.post(url(works, "members", bob.uuid, "remove"), follow=True).content.decode()
    assert "bob is no member any more." in page
    assert bob not in works.members.all()
    assert as_alice.post(url(works, "members", bob.uuid, "remove")).status_code == 404


@pytest.mark.parametrize("role", ["", "king", "OWNER"])
def test_a_role_that_there_is_not_is_refused(as_alice: Client, works: Account, bob: User, role: str) -> None:
    join(works, bob, "viewer")
    assert as_alice.post(url(works, "members", bob.uuid, "role"), {"role": role}).status_code == 400


def test_an_admin_who_reaches_too_high_is_told_so(as_bob: Client, works: Account, bob: User, alice: User) -> None:
    join(works, bob, "admin")
    assert as_bob.post(url(works, "members", bob.uuid, "role"), {"role": "owner"}).status_code == 403
    assert as_bob.post(url(works, "members", alice.uuid, "role"), {"role": "viewer"}).status_code == 403
    assert as_bob.post(url(works, "members", alice.uuid, "remove")).status_code == 403
    assert as_bob.post(url(works, "invitations"), {"email": "x@example.org", "role": "owner"}).status_code == 400
    assert as_bob.post(url(works, "delete"), {"name": "Waterworks"}).status_code == 403


def test_the_last_owner_is_told_why_not(as_alice: Client, works: Account, alice: User) -> None:
    for path in (url(works, "leave"), url(works, "members", alice.uuid, "remove")):
        response = as_alice.post(path)
        assert response.status_code == 409
        assert "An organisation needs an owner." in response.content.decode()


def test_one_leaves(as_bob: Client, works: Account, bob: User) -> None:
    join(works, bob, "operator")
    assert "Leave Waterworks?" in as_bob.get(url(works, "leave")).content.decode()

    assert as_bob.post(url(works, "leave"), follow=True).redirect_chain == [("/account/", 302)]
    assert bob not in works.members.all()


def test_an_organisation_is_renamed_and_deleted_by_its_name(as_alice: Client, works: Account) -> None:
    assert as_alice.post(url(works, "name"), {"name": "evil.com"}).status_code == 400
    as_alice.post(url(works, "name"), {"name": "Canal"})
    wrong = as_alice.post(url(works, "delete"), {"name": "Waterworks"})
    assert wrong.status_code == 400
    assert "That is not its name." in wrong.content.decode()

    assert as_alice.post(url(works, "delete"), {"name": "Canal"}).status_code == 302
    assert not Account.objects.filter(kind="organisation").exists()


# --- invitations -----------------------------------------------------------------------------------------------------------


def test_an_address_without_an_account_signs_up_and_accepts(
    as_alice: Client, client: Client, works: Account, mailoutbox: Mails
) -> None:
    sent = as_alice.post(url(works, "invitations"), {"email": "Carol@example.org", "role": "operator"}, follow=True)
    assert "on its way to carol@example.org" in sent.content.decode()

    page = follow_mail(client, mailoutbox[0])
    assert "alice invites <b>carol@example.org</b>" in page
    sign_up = re.search(r'href="(/accounts/signup/[^"]+)"', page)
    assert sign_up
    form = client.get(sign_up[1].replace("&amp;", "&")).content.decode()
    assert 'value="carol@example.org"' in form
    client.post("/accounts/signup/", sign_up_data(next="/invitations/"))
    arrived = client.post("/accounts/confirm-email/", {"code": code_in(mailoutbox[1])})
    assert arrived["Location"] == "/invitations/"
    accept = re.search(r'action="(/account/invitations/[^"]+/accept/)"', client.get("/invitations/").content.decode())
    assert accept
    assert "You are a member of Waterworks now." in client.post(accept[1], follow=True).content.decode()
    assert Membership.objects.get(account=works, user__username="carol").role == "operator"


def test_who_has_an_account_signs_in_and_accepts(
    as_alice: Client, client: Client, bob: User, works: Account, mailoutbox: Mails
) -> None:
    as_alice.post(url(works, "invitations"), {"email": BOB, "role": "viewer"})
    page = follow_mail(client, mailoutbox[0])
    assert "/accounts/login/?next=%2Finvitations%2F" in page
    signed_in = client.post(SIGN_IN, {"login": "bob", "password": PASSWORD, "next": "/invitations/"}, follow=True)

    assert "/accept/" in signed_in.content.decode()


def test_the_secret_is_in_no_page_and_no_later_address(
    as_alice: Client, client: Client, works: Account, mailoutbox: Mails
) -> None:
    listed = as_alice.post(url(works, "invitations"), {"email": BOB, "role": "viewer"}, follow=True).content.decode()
    found = re.search(r"/invitations/([^/]+)/", str(mailoutbox[0].body))
    assert found
    secret = found[1]
    response = client.get(f"/invitations/{secret}/")

    assert response["Location"] == "/invitations/"
    assert secret not in client.get("/invitations/").content.decode()
    assert secret not in listed
    assert secret not in str(dict(client.session))


def test_another_who_opens_the_link_is_told_whose_it_is(
    as_alice: Client, as_bob: Client, bob: User, works: Account, mailoutbox: Mails
) -> None:
    as_alice.post(url(works, "invitations"), {"email": "carol@example.org", "role": "admin"})
    EmailAddress.objects.create(user=bob, email="carol@example.org", verified=False)
    page = follow_mail(as_bob, mailoutbox[0])

    assert "It is for another address." in page
    assert "/accept/" not in page
    made = Invitation.objects.get()
    for verb in ("accept", "decline"):
        assert as_bob.post(f"/account/invitations/{made.pk}/{verb}/").status_code == 404
    assert Invitation.objects.filter(pk=made.pk).exists()


def test_one_that_is_not_open_says_so(as_alice: Client, client: Client, works: Account, mailoutbox: Mails) -> None:
    as_alice.post(url(works, "invitations"), {"email": BOB, "role": "viewer"})
    made = Invitation.objects.get()
    as_alice.post(url(works, "invitations", made.pk, "resend"))
    assert "not open" in follow_mail(client, mailoutbox[0]), "a new link ends the old one"
    assert "invites <b>" in follow_mail(client, mailoutbox[1])
    as_alice.post(url(works, "invitations", made.pk, "withdraw"))

    assert "not open" in follow_mail(client, mailoutbox[1])
    assert "not open" in client.get("/invitations/").content.decode()
    assert client.get("/invitations/").status_code == 404
    assert client.get("/invitations/%00%ff/").status_code == 404
    assert as_alice.post(url(works, "invitations", made.pk, "withdraw")).status_code == 404


def test_the_account_page_shows_what_one_is_invited_to(as_bob: Client, bob: User, alice: User, works: Account) -> None:
    made = invite(account=works, by=alice, email=BOB, role="viewer")
    assert f"/account/invitations/{made.pk}/accept/" in as_bob.get("/account/").content.decode()

    assert "You declined" in as_bob.post(f"/account/invitations/{made.pk}/decline/", follow=True).content.decode()
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(
    ("email", "says"),
    [
        ("", "required"),
        ("x", "valid"),
        ("alice@example.org", "member already"),
        (BOB, "invited already"),
        ("bob@ex\uff41mple.org", "plain letters"),
    ],
)
def test_whom_one_cannot_invite_is_said_at_the_field(
    as_alice: Client, alice: User, works: Account, email: str, says: str
) -> None:
    invite(account=works, by=alice, email=BOB, role="viewer")
    response = as_alice.post(url(works, "invitations"), {"email": email, "role": "viewer"})

    assert response.status_code == 400
    assert says in response.content.decode()


def test_too_many_invitations_are_429(as_alice: Client, alice: User, works: Account) -> None:
    made = invite(account=works, by=alice, email=BOB, role="viewer")
    answers = [as_alice.post(url(works, "invitations", made.pk, "resend")).status_code for _ in range(5)]

    assert answers == [302, 302, 302, 302, 429]


def test_an_invitation_of_another_organisation_is_not_touched(as_bob: Client, alice: User, bob: User, works: Account) -> None:
    mine = create_organisation(user=bob, name="Mine")
    made = invite(account=works, by=alice, email="x@example.org", role="viewer")
    other = create_user(username="carl", email="carl@example.org", password="x", first_name="C", last_name="L")
    for verb in ("resend", "withdraw"):
        assert as_bob.post(url(mine, "invitations", made.pk, verb)).status_code == 404
    assert as_bob.post(url(mine, "members", alice.uuid, "role"), {"role": "viewer"}).status_code == 404
    assert as_bob.post(url(mine, "members", other.uuid, "remove")).status_code == 404
