from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts import hooks, services
from accounts.models import Account, ApiToken, Membership, User
from accounts.tests.helpers import PASSWORD, at_once
from iotportal.hooks import Hook


@pytest.fixture
def heard() -> Iterator[list[tuple[str, object]]]:
    """What the hooks told during the test."""
    told: list[tuple[str, object]] = []

    def listener(name: str) -> Callable[[object], None]:
        return lambda subject: told.append((name, subject))

    added: list[tuple[Hook[object], Callable[[object], None]]] = []
    for name in ("token_revoked", "user_deactivated", "password_changed"):
        hook: Hook[object] = getattr(hooks, name)
        handler = listener(name)
        hook.register(handler)
        added.append((hook, handler))
    yield told
    for hook, handler in added:
        hook._handlers.remove(handler)


def test_a_made_user_can_sign_in_at_once(client: Client, alice: User) -> None:
    assert EmailAddress.objects.get(user=alice).verified
    assert Account.objects.get().name == "alice"
    assert client.post("/accounts/login/", {"login": "alice", "password": PASSWORD}).status_code == 302


@pytest.mark.parametrize(("username", "email"), [("ALICE", "x@example.org"), ("x", "Alice@Example.org")])
def test_the_database_itself_refuses_a_second_name_or_address_in_any_case(alice: User, username: str, email: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(username=username, email=email)


@pytest.mark.django_db(transaction=True)
def test_a_user_made_by_hand_gets_one_personal_account_however_many_ask_at_once() -> None:
    user = User.objects.create_superuser("root2", "root2@example.org", PASSWORD)
    found = at_once(6, lambda: services.personal_account(User.objects.get(pk=user.pk)).pk)

    assert len(found) == 6
    assert set(found) == {Account.objects.get().pk}
    assert Membership.objects.count() == 1


def test_a_token_is_stored_as_a_hash_and_found_by_its_secret(alice: User) -> None:
    token, secret = services.create_token(user=alice, name="ci")

    assert secret.startswith("iotp_")
    assert secret.startswith(token.prefix)
    assert secret not in str(list(ApiToken.objects.values_list()))
    found = services.find_token(secret)
    assert found == token
    assert found.user == alice


def test_a_token_notes_its_use_once_a_minute(alice: User) -> None:
    token, secret = services.create_token(user=alice, name="ci")
    services.find_token(secret)
    token.refresh_from_db()
    first = token.last_used_at
    assert first is not None

    services.find_token(secret)
    token.refresh_from_db()
    assert token.last_used_at == first
    with time_machine.travel(timezone.now() + timedelta(seconds=61)):
        services.find_token(secret)
    token.refresh_from_db()
    assert token.last_used_at is not None
    assert token.last_used_at > first


def test_a_token_name_is_taken_once_per_user(alice: User, bob: User) -> None:
    services.create_token(user=alice, name="ci")
    services.create_token(user=bob, name="ci")

    with pytest.raises(services.NameTaken):
        services.create_token(user=alice, name="ci")


@pytest.mark.django_db(transaction=True)
def test_the_limit_of_tokens_holds_for_requests_at_once(alice: User, settings: object) -> None:
    settings.API_TOKENS_PER_USER = 3  # type: ignore[attr-defined]  # pytest-django's settings
    names = iter("abcdef")
    results = at_once(6, lambda: services.create_token(user=alice, name=next(names)))

    assert ApiToken.objects.count() == 3
    assert sum(isinstance(result, services.TooManyTokens) for result in results) == 3


def test_a_revoked_token_is_dead_and_others_are_told(alice: User, heard: list[tuple[str, object]]) -> None:
    token, secret = services.create_token(user=alice, name="ci")
    services.revoke_token(token=token)

    assert services.find_token(secret) is None
    assert heard == [("token_revoked", token.token_hash)]


def test_deactivating_ends_tokens_and_sessions_and_tells_others(
    as_alice: Client, alice: User, heard: list[tuple[str, object]]
) -> None:
    token, secret = services.create_token(user=alice, name="ci")
    services.deactivate_user(user=alice)

    assert heard == [("token_revoked", token.token_hash), ("user_deactivated", alice)]
    assert services.find_token(secret) is None
    assert as_alice.get("/account/").status_code == 302
    User.objects.filter(pk=alice.pk).update(is_active=True)
    assert services.find_token(secret) is None, "letting somebody in again does not bring tokens back"


def test_a_new_password_ends_tokens_and_sessions_and_tells_others(
    as_alice: Client, alice: User, heard: list[tuple[str, object]]
) -> None:
    token, _ = services.create_token(user=alice, name="ci")
    services.change_password(user=alice, password="blue valve 7 opens")

    assert heard == [("token_revoked", token.token_hash), ("password_changed", alice)]
    assert as_alice.get("/account/").status_code == 302


def test_what_failed_half_way_leaves_nothing(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = services.create_token(user=alice, name="ci")

    def fail(user: User) -> None:
        raise RuntimeError

    monkeypatch.setattr(services.users, "user_deactivated", fail)
    with pytest.raises(RuntimeError):
        services.deactivate_user(user=alice)

    assert services.find_token(secret) is not None


@pytest.mark.parametrize("changes", [{"last_login": timezone.now()}, {"is_staff": True}, {"is_superuser": True}])
def test_only_who_was_never_here_can_abandon_a_sign_up(changes: dict[str, object]) -> None:
    user = User.objects.create_user("carol", "carol@example.org", PASSWORD)
    User.objects.filter(pk=user.pk).update(**changes)

    assert not services.abandon_sign_up(user=user)
    assert User.objects.filter(pk=user.pk).exists()


def test_a_confirmed_user_cannot_be_abandoned(alice: User) -> None:
    assert not services.abandon_sign_up(user=alice)
