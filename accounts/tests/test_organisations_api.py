from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.test import Client

from accounts import services
from accounts.models import Account, ApiToken, Invitation, Membership, User
from accounts.services import create_organisation, create_token, invite, personal_account

BOB = "bob@example.org"


@pytest.fixture
def works(alice: User) -> Account:
    """An organisation that Alice owns."""
    return create_organisation(user=alice, name="Waterworks")


class Program:
    """A program with a user's token."""

    def __init__(self, user: User, *scopes: str, login: bool = False) -> None:
        name = f"{'-'.join(scopes)}{login}"
        if login:
            secret = services.log_in(user=user, ip="192.0.2.1", user_agent="x").access
        else:
            _, secret = create_token(user=user, name=name, scopes=scopes or [ApiToken.Scope.MANAGE])
        self._client = Client(headers={"authorization": f"Bearer {secret}"})

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        sent = "" if body is None else json.dumps(body)
        answer = self._client.generic(method, f"/api/v1{path}", sent, "application/json")
        return answer.status_code, answer.json() if answer.content else None


@pytest.fixture
def ask(alice: User) -> Program:
    """Alice's program, whose token has the widest scope there is."""
    return Program(alice)


def path(account: Account, *more: object) -> str:
    return "/".join(["/accounts", account.pk.hex, *map(str, more)])


def test_accounts_are_listed_made_and_read(ask: Program, alice: User) -> None:
    status, made = ask("POST", "/accounts", {"name": "Waterworks"})

    assert status == 201
    assert {key: made[key] for key in ("name", "kind", "role")} == {"name": "Waterworks", "kind": "organisation", "role": "owner"}
    assert ask("GET", f"/accounts/{made['id']}") == (200, made)
    listed = ask("GET", "/accounts")[1]
    assert [(one["name"], one["kind"]) for one in listed["results"]] == [("alice", "personal"), ("Waterworks", "organisation")]
    assert listed["next"] is None


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 7}, {"name": "x" * 81}, {"name": "evil.com"}, {"nam": "x"}])
def test_a_name_that_cannot_be_had_is_400_at_its_field(ask: Program, works: Account, body: dict[str, object]) -> None:
    for answer in (ask("POST", "/accounts", body), ask("PATCH", path(works), body)):
        assert answer[0] == 400
        assert set(answer[1]["errors"]) <= {"name", "nam"}


def test_an_organisation_is_renamed(ask: Program, works: Account) -> None:
    assert ask("PATCH", path(works), {"name": "Canal"})[1]["name"] == "Canal"


def test_the_time_zone_of_an_organisation_is_read_and_set(ask: Program, alice: User, works: Account) -> None:
    assert ask("GET", path(works))[1]["time_zone"] == "UTC"
    changed = ask("PATCH", path(works), {"time_zone": "Asia/Tokyo"})[1]
    assert (changed["time_zone"], changed["name"]) == ("Asia/Tokyo", works.name)
    both = ask("PATCH", path(works), {"name": "Canal", "time_zone": "Europe/Stockholm"})[1]
    assert (both["name"], both["time_zone"]) == ("Canal", "Europe/Stockholm")
    for wrong in ("Moon/Base", "", "utc", "../../etc/passwd", 5, None, ["UTC"]):
        assert ask("PATCH", path(works), {"name": "Sea", "time_zone": wrong})[0] == 400
    assert ask("PATCH", path(personal_account(alice)), {"time_zone": "Asia/Tokyo"})[1]["code"] == "personal_account"
    works.refresh_from_db()
    assert (works.name, works.time_zone) == ("Canal", "Europe/Stockholm")


def test_a_personal_account_stays_as_it_is(ask: Program, alice: User) -> None:
    mine = personal_account(alice)
    member = ("members", alice.uuid.hex)
    answers = [
        ask("PATCH", path(mine), {"name": "x"}),
        ask("POST", path(mine, "invitations"), {"email": BOB, "role": "viewer"}),
        ask("PATCH", path(mine, *member), {"role": "viewer"}),
        ask("DELETE", path(mine, *member)),
        Program(alice, login=True)("DELETE", path(mine) + "?name=alice"),
    ]
    assert {(status, body["code"]) for status, body in answers} == {(409, "personal_account")}


def test_deleting_takes_the_name_and_more_than_a_personal_token(ask: Program, alice: User, works: Account) -> None:
    assert ask("DELETE", path(works) + "?name=Waterworks")[0] == 403
    signed_in = Program(alice, login=True)
    assert signed_in("DELETE", path(works))[0] == 400
    assert signed_in("DELETE", path(works) + "?name=Canal")[0] == 400
    assert signed_in("DELETE", path(works) + "?name=Waterworks") == (204, None)
    assert ask("GET", path(works))[0] == 404


def test_members_are_listed_changed_and_removed(ask: Program, works: Account, bob: User) -> None:
    Membership.objects.create(account=works, user=bob, role="viewer")
    rows = ask("GET", path(works, "members"))[1]["results"]
    assert [(row["username"], row["role"], row["email"]) for row in rows] == [
        ("alice", "owner", "alice@example.org"),
        ("bob", "viewer", BOB),
    ]
    member = path(works, "members", rows[1]["id"])
    assert ask("PATCH", member, {"role": "admin"})[1]["role"] == "admin"
    assert ask("PATCH", member, {"role": "king"})[0] == 400
    assert ask("DELETE", member) == (204, None)
    assert ask("DELETE", member)[0] == 404


def test_addresses_are_for_those_who_manage(alice: User, works: Account, bob: User) -> None:
    Membership.objects.create(account=works, user=bob, role="operator")
    for program in (Program(bob), Program(alice, "read")):
        rows = program("GET", path(works, "members"))[1]["results"]
        assert [row["email"] for row in rows] == [None, None]


def test_a_personal_token_makes_no_owners_and_touches_none(ask: Program, alice: User, works: Account, bob: User) -> None:
    Membership.objects.create(account=works, user=bob, role="admin")
    member = path(works, "members", bob.uuid.hex)
    assert ask("PATCH", member, {"role": "owner"})[0] == 403
    assert ask("POST", path(works, "invitations"), {"email": "x@example.org", "role": "owner"})[0] == 403

    signed_in = Program(alice, login=True)
    assert signed_in("PATCH", member, {"role": "owner"})[0] == 200
    for body in ("PATCH", {"role": "viewer"}), ("DELETE", None):
        assert ask(body[0], member, body[1])[0] == 403
    assert ask("DELETE", path(works, "members", alice.uuid.hex))[0] == 403


@pytest.mark.parametrize("scope", ["read", "control", "billing"])
def test_a_scope_that_does_not_manage_changes_nothing(alice: User, works: Account, bob: User, scope: str) -> None:
    Membership.objects.create(account=works, user=bob, role="viewer")
    made = invite(account=works, by=alice, email="x@example.org", role="viewer")
    program = Program(alice, scope)
    for method, *more in (
        ("POST", "/accounts", {"name": "x"}),
        ("PATCH", path(works), {"name": "x"}),
        ("DELETE", path(works) + "?name=Waterworks"),
        ("PATCH", path(works, "members", bob.uuid.hex), {"role": "owner"}),
        ("DELETE", path(works, "members", bob.uuid.hex)),
        ("GET", path(works, "invitations")),
        ("POST", path(works, "invitations"), {"email": "y@example.org", "role": "viewer"}),
        ("POST", path(works, "invitations", made.pk.hex, "resend")),
        ("DELETE", path(works, "invitations", made.pk.hex)),
    ):
        assert program(method, *more)[0] == 403, (method, more)


def test_one_leaves_by_the_own_id(works: Account, bob: User) -> None:
    Membership.objects.create(account=works, user=bob, role="viewer")
    leave = path(works, "members", bob.uuid.hex)

    assert Program(bob, "control")("DELETE", leave)[0] == 403
    assert Program(bob)("DELETE", leave) == (204, None)
    assert Program(bob, login=True)("GET", path(works))[0] == 404


def test_the_last_owner_is_409(alice: User, works: Account) -> None:
    member = path(works, "members", alice.uuid.hex)
    for answer in (
        Program(alice, login=True)("DELETE", member),
        Program(alice, login=True)("PATCH", member, {"role": "viewer"}),
    ):
        assert (answer[0], answer[1]["code"]) == (409, "last_owner")


def test_an_invitation_is_sent_listed_sent_again_and_withdrawn(
    ask: Program, works: Account, mailoutbox: list[EmailMessage]
) -> None:
    status, made = ask("POST", path(works, "invitations"), {"email": "Bob@Example.org", "role": "operator"})
    assert (status, made["email"], made["invited_by"]) == (201, BOB, "alice")
    assert mailoutbox[0].to == [BOB]
    assert "secret" not in str(made)
    assert ask("GET", path(works, "invitations"))[1]["results"] == [made]
    assert ask("POST", path(works, "invitations"), {"email": BOB, "role": "viewer"})[1]["code"] == "already_invited"
    assert (
        ask("POST", path(works, "invitations"), {"email": "alice@example.org", "role": "viewer"})[1]["code"] == "already_member"
    )

    one = path(works, "invitations", made["id"])
    assert ask("POST", one + "/resend")[0] == 200
    assert len(mailoutbox) == 2
    assert ask("DELETE", one) == (204, None)
    assert ask("DELETE", one)[0] == ask("POST", one + "/resend")[0] == 404


def test_too_many_invitations_are_429_with_a_time_to_wait(ask: Program, alice: User, works: Account) -> None:
    made = invite(account=works, by=alice, email=BOB, role="viewer")
    one = path(works, "invitations", made.pk.hex, "resend")
    assert [ask("POST", one)[0] for _ in range(5)] == [200, 200, 200, 200, 429]


def test_who_is_invited_accepts_or_declines(alice: User, works: Account, bob: User) -> None:
    program = Program(bob)
    for verb in ("DELETE", "POST"):
        made = invite(account=works, by=alice, email=BOB, role="operator")
        (row,) = program("GET", "/invitations")[1]["results"]
        assert row["id"] == made.pk.hex
        assert row["account"] == {"id": works.pk.hex, "name": "Waterworks"}
        end = "/accept" if verb == "POST" else ""
        status, body = program(verb, f"/invitations/{row['id']}{end}")
        assert (status, body and body["role"]) == ((200, "operator") if end else (204, None))
    assert program("GET", "/invitations")[1]["results"] == []


def test_to_others_an_invitation_is_not_there(alice: User, works: Account, bob: User) -> None:
    made = invite(account=works, by=alice, email="carol@example.org", role="admin")
    program = Program(bob)
    assert program("GET", "/invitations")[1]["results"] == []
    unknown = program("POST", f"/invitations/{'0' * 32}/accept")
    assert unknown[0] == 404
    assert program("POST", f"/invitations/{made.pk.hex}/accept") == unknown
    assert program("DELETE", f"/invitations/{made.pk.hex}")[0] == 404
    assert Invitation.objects.filter(pk=made.pk).exists()


@pytest.mark.parametrize("nonsense", ["0", "x" * 32, "%00", "0" * 36, "0" * 5000])
def test_an_id_that_is_none_is_404(ask: Program, works: Account, nonsense: str) -> None:
    assert ask("GET", f"/accounts/{nonsense}")[0] == 404
    assert ask("DELETE", path(works, "members", nonsense))[0] == 404
    assert ask("DELETE", path(works, "invitations", nonsense))[0] == 404
