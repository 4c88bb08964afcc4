from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Account, ApiToken, Membership, User
from accounts.services import create_token, create_user, find_token
from accounts.tests.helpers import PASSWORD


@pytest.fixture
def root() -> Client:
    user = create_user(username="root2", email="root2@example.org", password=PASSWORD, first_name="R", last_name="T")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


@pytest.fixture
def operator() -> Client:
    """Somebody of the staff who may change users but is no superuser."""
    user = create_user(username="olga", email="olga@example.org", password=PASSWORD, first_name="O", last_name="P")
    user.is_staff = True
    user.save()
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    client = Client()
    client.force_login(user)
    return client


def user_form(user: User, **changes: str) -> dict[str, str]:
    return {
        "first_name": user.first_name,
        "last_name": user.last_name,
        "is_active": "on",
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


def test_an_operator_shuts_a_user_out_and_it_is_logged(operator: Client, as_alice: Client, alice: User) -> None:
    _, secret = create_token(user=alice, name="ci")
    data = user_form(alice)
    del data["is_active"]
    assert operator.post(url(alice), data).status_code == 302

    alice.refresh_from_db()
    assert not alice.is_active
    assert as_alice.get("/account/").status_code == 302
    assert find_token(secret) is None
    assert "Active" in LogEntry.objects.get(object_id=str(alice.pk)).get_change_message()
    operator.post(url(alice), user_form(alice))
    alice.refresh_from_db()
    assert alice.is_active


def test_an_operator_cannot_hand_out_rights(operator: Client, alice: User) -> None:
    operator.post(url(alice), user_form(alice, is_staff="on", is_superuser="on", user_permissions="1", first_name="Changed"))

    alice.refresh_from_db()
    assert alice.first_name == "Changed"
    assert (alice.is_staff, alice.is_superuser, alice.user_permissions.count()) == (False, False, 0)


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


def test_deleting_a_token_revokes_it(root: Client, alice: User) -> None:
    token, secret = create_token(user=alice, name="ci")
    assert root.post(url(token), {"name": "x"}).status_code == 403
    assert b"Are you sure" in root.get(url(token, "delete")).content
    assert find_token(secret) is not None

    assert root.post(url(token, "delete"), {"post": "yes"}).status_code == 302
    assert find_token(secret) is None


def test_several_tokens_are_revoked_together(root: Client, alice: User) -> None:
    made = [create_token(user=alice, name=name) for name in "ab"]
    data = {"action": "delete_selected", "_selected_action": [str(token.pk) for token, _ in made], "post": "yes"}
    root.post("/admin/accounts/apitoken/", data)

    assert not ApiToken.objects.exists()
