from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts import operators, tasks
from accounts.admin.people import UserAdmin
from accounts.models import Account, ApiToken, Membership, User
from accounts.operators import GROUP
from accounts.services import codes, create_token, create_user, factors, find_token, log_in
from accounts.tests.factor_helpers import add_app
from accounts.tests.helpers import PASSWORD, SIGN_IN, code_in, has_code


@pytest.fixture
def root() -> Client:
    user = create_user(username="root2", email="root2@example.org", password=PASSWORD, first_name="R", last_name="T")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


@pytest.fixture
def olga() -> User:
    """Return somebody of the staff, in the group of operators and no superuser."""
    user = create_user(username="olga", email="olga@example.org", password=PASSWORD, first_name="O", last_name="P")
    user.is_staff = True
    user.save()
    user.groups.add(Group.objects.get(name=GROUP))
    return user


@pytest.fixture
def operator(olga: User) -> Client:
    client = Client()
    client.force_login(olga)
    return client


def act(client: Client, name: str, *things: User | ApiToken | UserSession, why: str = "Asked by phone", **more: str) -> str:
    """Do an action of the admin to these, and return the page that follows."""
    where = f"/admin/{things[0]._meta.app_label}/{things[0]._meta.model_name}/"
    data = {"action": name, "_selected_action": [str(thing.pk) for thing in things], "confirmed": "yes", "why": why, **more}
    return client.post(where, data, follow=True).content.decode()


def user_form(user: User, **changes: str) -> dict[str, str]:
    return {
        "first_name": user.first_name,
        "last_name": user.last_name,
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
        **changes,
    }


def url(thing: User | Account | Membership | ApiToken, page: str = "change") -> str:
    return f"/admin/accounts/{thing._meta.model_name}/{thing.pk}/{page}/"


def test_operators_change_their_password_where_everybody_does(root: Client) -> None:
    assert root.get("/admin/password_change/")["Location"] == "/accounts/password/reset/"


def test_strangers_sign_in_at_the_one_door(client: Client) -> None:
    response = client.get("/admin/", follow=True)

    assert response.redirect_chain[-1][0].startswith("/accounts/login/?next=")
    assert client.post("/admin/login/", {"username": "root2", "password": PASSWORD}).status_code == 302
    assert "_auth_user_id" not in client.session


def test_who_is_not_staff_is_refused(as_alice: Client) -> None:
    assert as_alice.get("/admin/", follow=True).status_code == 403


@pytest.mark.parametrize("model", ["user", "account", "membership", "apitoken"])
def test_lists_search_and_show_no_secret(root: Client, alice: User, model: str) -> None:
    token, secret = create_token(user=alice, name="ci")
    alice.refresh_from_db()
    for query in ("", "?q=alice", "?q=%00"):
        page = root.get(f"/admin/accounts/{model}/{query}")
        assert page.status_code in {200, 302}
        for hidden in (token.token_hash, secret, alice.password):
            assert hidden not in page.content.decode()


def test_pages_show_no_secret(root: Client, alice: User) -> None:
    token, secret = create_token(user=alice, name="ci")
    alice.refresh_from_db()
    things: list[User | Account | Membership | ApiToken] = [
        alice,
        token,
        Account.objects.get(name="alice"),
        Membership.objects.get(user=alice),
    ]
    for thing in things:
        response = root.get(url(thing))
        assert response.status_code == 200
        assert "IoT Portal operators" in response.content.decode()
        for hidden in (token.token_hash, secret, alice.password, 'name="password'):
            assert hidden not in response.content.decode()


# --- acting on people ----------------------------------------------------------------------------------------------------------


def test_an_operator_shuts_a_user_out_and_in_again_and_it_is_logged(
    operator: Client, olga: User, as_alice: Client, alice: User
) -> None:
    _, secret = create_token(user=alice, name="ci")
    as_alice.get("/account/")
    act(operator, "deactivate", alice, why="Reported as stolen")

    alice.refresh_from_db()
    assert not alice.is_active
    assert as_alice.get("/account/").status_code == 302
    assert find_token(secret) is None
    assert not UserSession.objects.filter(user=alice).exists()
    entry = LogEntry.objects.get(object_id=str(alice.pk))
    assert (entry.user, entry.get_change_message()) == (olga, "Deactivate: Reported as stolen")

    act(operator, "reactivate", alice)
    assert User.objects.get(pk=alice.pk).is_active
    assert find_token(secret) is None


def test_nobody_comes_back_as_who_was_deleted(operator: Client) -> None:
    nobody = User.objects.create(username="deleted-1", email="deleted-1@deleted.invalid", is_active=False)
    assert "was deleted" in act(operator, "reactivate", nobody)
    assert not User.objects.get(pk=nobody.pk).is_active


def test_who_is_being_deleted_does_not_come_back(operator: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False, delete_at=timezone.now())
    assert "is being deleted" in act(operator, "reactivate", alice)
    assert not User.objects.get(pk=alice.pk).is_active
    assert not LogEntry.objects.exists()


def test_an_action_asks_first_and_is_not_done_without_a_reason(operator: Client, alice: User) -> None:
    data = {"action": "deactivate", "_selected_action": [str(alice.pk)]}
    page = operator.post("/admin/accounts/user/", data).content.decode()
    assert "Reason" in page
    assert "signed out everywhere" in page
    for why in ("", "   ", "x" * 201):
        assert operator.post("/admin/accounts/user/", {**data, "confirmed": "yes", "why": why}).status_code == 400
    alice.refresh_from_db()
    assert alice.is_active
    assert not LogEntry.objects.exists()


def test_ending_sessions_leaves_tokens_that_programs_have(operator: Client, as_alice: Client, alice: User) -> None:
    _, secret = create_token(user=alice, name="ci")
    login = log_in(user=alice, ip="127.0.0.1", user_agent="x")
    as_alice.get("/account/")
    act(operator, "end_sessions", alice)
    assert as_alice.get("/account/").status_code == 302
    assert find_token(secret) is not None
    assert find_token(login.access) is None


def test_a_new_confirmation_code_goes_to_the_user_and_to_nobody_else(
    operator: Client, alice: User, mailoutbox: list[EmailMessage]
) -> None:
    assert "confirmed already" in act(operator, "resend_code", alice)
    EmailAddress.objects.filter(user=alice).update(verified=False)
    page = act(operator, "resend_code", alice)
    (mail,) = mailoutbox
    assert mail.to == ["alice@example.org"]
    code = code_in(mail)
    assert code not in page + "".join(LogEntry.objects.values_list("change_message", flat=True))
    assert codes.guess_live(user=alice, address="alice@example.org", code=code)
    assert "a moment ago" in act(operator, "resend_code", alice)
    assert len(mailoutbox) == LogEntry.objects.count() == 1


def test_the_recovery_mail_has_the_way_and_no_code(operator: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    act(operator, "send_recovery", alice)
    (mail,) = mailoutbox
    assert mail.to == ["alice@example.org"]
    assert "/accounts/password/reset/" in str(mail.body)
    assert not has_code(mail)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["resend_code", "send_recovery"])
def test_a_mail_that_the_queue_does_not_take_is_said_so_and_nothing_is_logged(
    operator: Client, alice: User, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def away(**task: Any) -> None:
        raise OperationalError

    EmailAddress.objects.filter(user=alice).update(verified=False)
    codes.make_live(user=alice, address=alice.email, code="042042")
    monkeypatch.setattr(tasks.send_mail, "apply_async", away)
    page = act(operator, name, alice)
    assert "the mail could not be sent" in page
    assert "done for" not in page
    assert not LogEntry.objects.exists()
    assert codes.is_live(user=alice, address=alice.email, code="042042")


def test_removing_second_factors_tells_their_owner(operator: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    assert "no second factor" in act(operator, "remove_factors", alice)
    add_app(alice)
    act(operator, "remove_factors", alice, why="Lost the phone; showed the passport")
    assert not factors.needs_second_factor(alice)
    assert [mail.subject for mail in mailoutbox] == ["Your second factors at IoT Portal were removed"]
    assert "Lost the phone" in LogEntry.objects.get().get_change_message()


def test_a_locked_user_is_found_and_unlocked(operator: Client, alice: User, bob: User) -> None:
    wrong = Client()
    for _ in range(6):
        answer = wrong.post(SIGN_IN, {"login": "alice", "password": "wrong"})
    assert b"Too many wrong passwords" in answer.content
    listed = operator.get("/admin/accounts/user/?locked=yes").content.decode()
    assert "alice@example.org" in listed
    assert "bob@example.org" not in listed
    act(operator, "unlock", alice)
    assert "alice@example.org" not in operator.get("/admin/accounts/user/?locked=yes").content.decode()
    assert wrong.post(SIGN_IN, {"login": "alice", "password": PASSWORD}).status_code == 302


def test_a_second_factor_that_is_locked_is_unlocked_too(operator: Client, alice: User) -> None:
    add_app(alice)
    for _ in range(5):
        factors.check_code(alice, "000000")
    with pytest.raises(factors.TooManyTries):
        factors.check_code(alice, "000000")
    assert "alice@example.org" in operator.get("/admin/accounts/user/?locked=yes").content.decode()
    act(operator, "unlock", alice)
    assert factors.tries_left(alice) == 5


@pytest.mark.parametrize(
    ("query", "found"), [("factor=yes", {"alice"}), ("factor=no", {"bob", "olga"}), ("is_staff__exact=1", {"olga"})]
)
def test_people_are_found_by_what_they_have(operator: Client, alice: User, bob: User, query: str, found: set[str]) -> None:
    User.objects.filter(pk=alice.pk).update(code_factor="email")
    rows = operator.get(f"/admin/accounts/user/?{query}").context["cl"].result_list
    assert {user.username for user in rows} == found


def test_a_users_page_shows_sessions_tokens_and_addresses(operator: Client, as_alice: Client, alice: User) -> None:
    create_token(user=alice, name="Nightly job")
    as_alice.get("/account/", headers={"User-Agent": "Lynx/2.9"})
    page = operator.get(url(alice)).content.decode()
    for word in ("Nightly job", "Lynx/2.9", "alice@example.org", "Deactivate", "Devices that they see"):
        assert word in page


def test_a_browser_and_a_token_are_ended_alone(operator: Client, as_alice: Client, alice: User) -> None:
    token, secret = create_token(user=alice, name="ci")
    as_alice.get("/account/")
    act(operator, "revoke", token)
    assert find_token(secret) is None
    assert as_alice.get("/account/").status_code == 200
    act(operator, "end", UserSession.objects.get(user=alice))
    assert as_alice.get("/account/").status_code == 302
    said = sorted(LogEntry.objects.values_list("object_repr", "object_id", "change_message"))
    assert said == [
        ("alice", str(alice.pk), what) for what in ("End a session: Asked by phone", f"Revoke {token.prefix}…: Asked by phone")
    ]


def test_several_tokens_are_revoked_together(operator: Client, alice: User) -> None:
    act(operator, "revoke", *(create_token(user=alice, name=name)[0] for name in "ab"))
    assert not ApiToken.objects.exists()


def test_the_log_shows_who_did_what_and_why_and_cannot_be_changed(operator: Client, root: Client, alice: User) -> None:
    act(operator, "unlock", alice, why="Called from the office")
    entry = LogEntry.objects.get()
    page = operator.get("/admin/admin/logentry/?q=office").content.decode()
    for word in ("olga", "alice", "Unlock: Called from the office"):
        assert word in page
    for client in (operator, root):
        assert client.post(f"/admin/admin/logentry/{entry.pk}/change/", {"object_repr": "x"}).status_code == 403
        assert client.post(f"/admin/admin/logentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403


# --- what operators may not ----------------------------------------------------------------------------------------------------


def test_an_operator_cannot_hand_out_rights(operator: Client, olga: User, alice: User) -> None:
    group = Group.objects.create(name="Everything")
    for user in (alice, olga):
        before = (user.is_staff, user.is_superuser, list(user.groups.all()), list(user.user_permissions.all()))
        rights = {"is_staff": "on", "is_superuser": "on", "user_permissions": "1", "groups": str(group.pk)}
        assert operator.post(url(user), user_form(user, **rights)).status_code == 403
        user.refresh_from_db()
        assert (user.is_staff, user.is_superuser, list(user.groups.all()), list(user.user_permissions.all())) == before
    operators = Group.objects.get(name=GROUP)
    for where in ("/admin/auth/group/", "/admin/auth/group/add/", f"/admin/auth/group/{operators.pk}/change/"):
        assert operator.get(where).status_code == 403
        assert operator.post(where, {"name": "x", "permissions": "1"}).status_code == 403


@pytest.mark.parametrize("name", ["deactivate", "reactivate", "end_sessions", "remove_factors", "unlock"])
def test_an_operator_does_nothing_to_colleagues_superusers_and_themselves(
    operator: Client, olga: User, root: Client, alice: User, name: str
) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True, code_factor="email")
    for user in (User.objects.get(username="root2"), alice, olga):
        page = act(operator, name, user)
        assert "Not to yourself" in page or "Only a superuser" in page
    assert not LogEntry.objects.exists()
    assert User.objects.filter(is_active=False).count() == 0
    assert factors.needs_second_factor(User.objects.get(pk=alice.pk))


def test_an_operator_ends_their_own_sessions_and_tokens_and_no_superusers(operator: Client, olga: User, root: Client) -> None:
    boss = User.objects.get(username="root2")
    root.get("/account/")
    operator.get("/account/")
    theirs, own = create_token(user=boss, name="ci")[0], create_token(user=olga, name="ci")[0]
    assert "Only a superuser" in act(operator, "revoke", theirs)
    assert "Only a superuser" in act(operator, "end", UserSession.objects.get(user=boss))
    assert ApiToken.objects.filter(pk=theirs.pk).exists()
    assert root.get("/account/").status_code == 200
    act(operator, "revoke", own)
    assert not ApiToken.objects.filter(pk=own.pk).exists()
    act(operator, "end", UserSession.objects.get(user=olga))
    assert operator.get("/account/").status_code == 302


@pytest.mark.parametrize("name", ["deactivate", "unlock", "remove_factors", "send_recovery"])
def test_who_may_only_look_does_nothing(alice: User, bob: User, name: str) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    bob.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "view_apitoken"]))
    client = Client()
    client.force_login(bob)
    assert client.get(url(alice)).status_code == 200
    act(client, name, alice)
    alice.refresh_from_db()
    assert alice.is_active
    assert not LogEntry.objects.exists()


def test_the_group_has_what_it_needs_and_is_brought_back_to_it() -> None:
    group = Group.objects.get(name=GROUP)
    before = set(group.permissions.values_list("codename", flat=True))
    assert {"view_user", "change_user", "view_logentry", "view_device", "change_certificate"} <= before
    # An address that is not to be written to, what a carrier takes, and what is said.
    assert {one for one in before if one.startswith("add_")} == {"add_suppression", "add_tariff", "add_template"}
    group.permissions.set(Permission.objects.filter(codename__in=["add_user", "view_user", "change_group"]))
    for app in apps.get_app_configs():
        operators.bring_up_to_date(app)
    assert set(group.permissions.values_list("codename", flat=True)) == before


def test_a_superuser_hands_out_rights(root: Client, alice: User) -> None:
    root.post(url(alice), user_form(alice, is_staff="on", groups=str(Group.objects.get(name=GROUP).pk)))
    alice.refresh_from_db()
    assert alice.is_staff
    assert alice.groups.get().name == GROUP


def test_handing_out_rights_writes_nothing_that_changed_meanwhile(
    root: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(self: Any, request: Any, form: Any, change: bool) -> Any:
        User.objects.filter(pk=alice.pk).update(is_active=False, password="!")
        return form.save(commit=False)

    monkeypatch.setattr(UserAdmin, "save_form", save)
    root.post(url(alice), user_form(alice, is_staff="on"))
    alice.refresh_from_db()
    assert (alice.is_staff, alice.is_active, alice.password) == (True, False, "!")


def test_an_operator_cannot_change_a_superuser(operator: Client, root: Client) -> None:
    user = User.objects.get(username="root2")

    assert operator.post(url(user), user_form(user, first_name="Changed")).status_code == 403


def test_nobody_changes_what_identifies_a_user(root: Client, alice: User) -> None:
    root.post(url(alice), user_form(alice, username="mallory", email="m@example.org", password="x", uuid="x"))

    fresh = User.objects.get(pk=alice.pk)
    assert (fresh.username, fresh.email, fresh.uuid, fresh.password) == (alice.username, alice.email, alice.uuid, alice.password)


@pytest.mark.parametrize("page", ["add", "delete", "password"])
def test_users_are_neither_made_nor_deleted_nor_given_passwords_here(root: Client, alice: User, page: str) -> None:
    address = "/admin/accounts/user/add/" if page == "add" else url(alice, page)

    assert root.get(address, follow=page == "password").status_code in {403, 404} or page == "password"
    root.post(address, {"post": "yes", "password1": "x", "password2": "x"})
    assert User.objects.get(pk=alice.pk).password == alice.password


def test_accounts_and_memberships_are_only_to_look_at(root: Client, alice: User) -> None:
    for thing in (Account.objects.get(name="alice"), Membership.objects.get(user=alice)):
        assert root.post(url(thing), {"name": "x", "role": "viewer"}).status_code == 403
        assert root.post(url(thing, "delete"), {"post": "yes"}).status_code == 403


def test_tokens_are_neither_changed_nor_deleted_without_a_reason(root: Client, alice: User) -> None:
    token, secret = create_token(user=alice, name="ci")
    assert root.post(url(token), {"name": "x"}).status_code == 403
    assert root.post(url(token, "delete"), {"post": "yes"}).status_code == 403
    assert find_token(secret) is not None
