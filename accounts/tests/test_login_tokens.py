from __future__ import annotations

import base64
import logging
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from accounts import services
from accounts.models import ApiToken, User
from accounts.services import LoginTokens, RefreshTokenJustUsed, UnknownRefreshToken
from accounts.tasks import delete_ended_logins
from accounts.tests.helpers import at_once
from accounts.tokens import login_of, looks_like_token

LATER = timedelta(seconds=11)  # than the grace in which a second use is taken for an accident


def log_in(user: User) -> LoginTokens:
    return services.log_in(user=user, ip="192.0.2.1", user_agent="python-requests/2")


def renew(refresh: str) -> LoginTokens:
    return services.renew_login(refresh=refresh, ip="192.0.2.2", user_agent="curl/8")


def later(by: timedelta = LATER) -> time_machine.travel:
    return time_machine.travel(timezone.now() + by)


def is_live(tokens: LoginTokens) -> bool:
    return services.find_token(tokens.access) is not None


def test_a_login_has_tokens_that_scanners_know_and_an_id_that_is_no_key(alice: User) -> None:
    tokens = log_in(alice)

    assert tokens.access.startswith("iotp_")
    assert tokens.refresh.startswith("iotr_")
    assert (tokens.id, tokens.expires_in) == (alice.uuid.hex, 3600)
    assert services.find_token(tokens.refresh) is None
    stored = str(list(ApiToken.objects.values_list()))
    assert tokens.access not in stored
    assert tokens.refresh not in stored


def test_a_login_may_all_its_user_may_and_says_where_it_came_from(alice: User) -> None:
    log_in(alice)
    login = ApiToken.objects.get()

    assert login.scopes == ["read", "control", "manage", "billing"]
    assert (login.kind, login.ip, login.user_agent) == ("login", "192.0.2.1", "python-requests/2")
    alice.refresh_from_db()
    assert alice.last_login is not None


def test_an_access_token_ends_after_an_hour_and_can_be_renewed(alice: User) -> None:
    tokens = log_in(alice)
    with later(timedelta(minutes=59)):
        assert is_live(tokens)
    with later(timedelta(minutes=60)):
        assert not is_live(tokens)
        assert is_live(renew(tokens.refresh))


def test_renewing_ends_the_old_tokens_and_keeps_the_login(alice: User) -> None:
    first = log_in(alice)
    second = renew(first.refresh)

    assert not is_live(first)
    assert is_live(second)
    login = ApiToken.objects.get()
    assert (login.ip, login.user_agent) == ("192.0.2.2", "curl/8")


def test_a_used_refresh_token_that_comes_back_ends_the_login(alice: User, caplog: pytest.LogCaptureFixture) -> None:
    other = log_in(alice)
    first = log_in(alice)
    second = renew(first.refresh)
    with later(), caplog.at_level(logging.WARNING), pytest.raises(UnknownRefreshToken):
        renew(first.refresh)

    assert not is_live(second)
    with pytest.raises(UnknownRefreshToken):
        renew(second.refresh)
    assert is_live(other), "the user's other logins go on"
    assert "came back" in caplog.text
    assert first.refresh not in caplog.text


def test_a_thief_who_renews_twice_before_the_owner_does_is_noticed_too(alice: User) -> None:
    owner = log_in(alice)
    thief = renew(renew(owner.refresh).refresh)
    with pytest.raises(UnknownRefreshToken):
        renew(owner.refresh)

    assert not is_live(thief)


def test_the_second_of_two_requests_gets_nothing_and_ends_nothing(alice: User) -> None:
    first = log_in(alice)
    second = renew(first.refresh)
    with pytest.raises(RefreshTokenJustUsed):
        renew(first.refresh)

    assert is_live(second)


@pytest.mark.django_db(transaction=True)
def test_of_many_renewals_at_once_exactly_one_wins(alice: User) -> None:
    tokens = log_in(alice)
    results = at_once(8, lambda: renew(tokens.refresh))

    won = [one for one in results if isinstance(one, LoginTokens)]
    assert len(won) == 1
    assert sum(isinstance(one, RefreshTokenJustUsed) for one in results) == 7
    assert is_live(won[0])
    assert not is_live(tokens)


def forged(tokens: LoginTokens) -> str:
    """Return a refresh token for the same login with a mark of the forger's own."""
    login_id = login_of(tokens.refresh)
    assert login_id is not None
    return "iotr_" + base64.urlsafe_b64encode(login_id.bytes + bytes(48)).decode().rstrip("=")


def test_who_knows_a_logins_id_can_not_end_it(alice: User) -> None:
    tokens = log_in(alice)
    with later(), pytest.raises(UnknownRefreshToken):
        renew(forged(tokens))

    assert is_live(tokens)


NONSENSE = [
    "",
    "iotr_",
    "iotr_" + "a" * 86,
    "iotr_" + "_" * 86,
    "iotr_" + "é" * 86,
    "iotr_" + "a" * 85 + "\n",
    "x" * 100_000,
    "\0",
]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_no_refresh_token(alice: User, nonsense: str) -> None:
    tokens = log_in(alice)
    with pytest.raises(UnknownRefreshToken):
        renew(nonsense)

    assert is_live(tokens)


def test_an_access_token_or_a_personal_token_renews_nothing(alice: User) -> None:
    tokens = log_in(alice)
    _, personal = services.create_token(user=alice, name="ci")
    for secret in (tokens.access, personal):
        with pytest.raises(UnknownRefreshToken):
            renew(secret)


def test_logging_out_ends_access_and_refresh_at_once(alice: User) -> None:
    tokens = log_in(alice)
    token = services.find_token(tokens.access)
    assert token is not None
    services.log_out(token=token)

    assert not is_live(tokens)
    with pytest.raises(UnknownRefreshToken):
        renew(tokens.refresh)


@pytest.mark.parametrize("end", ["password", "deactivated"])
def test_a_new_password_and_a_shut_door_end_logins(alice: User, end: str) -> None:
    tokens = log_in(alice)
    if end == "password":
        services.change_password(user=alice, password="blue valve 7 opens")
    else:
        services.deactivate_user(user=alice)

    assert not is_live(tokens)
    with pytest.raises(UnknownRefreshToken):
        renew(tokens.refresh)


def test_a_user_who_was_shut_out_by_hand_renews_nothing(alice: User) -> None:
    tokens = log_in(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    with pytest.raises(UnknownRefreshToken):
        renew(tokens.refresh)


def test_a_password_that_was_changed_meanwhile_opens_nothing(alice: User) -> None:
    checked = User.objects.get(pk=alice.pk)
    services.change_password(user=alice, password="blue valve 7 opens")
    with pytest.raises(services.SignInChanged):
        log_in(checked)

    assert not ApiToken.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_login_while_the_password_changes_does_not_outlive_it(alice: User) -> None:
    turns = iter(range(8))

    def work() -> None:
        if next(turns) % 2:
            services.change_password(user=User.objects.get(pk=alice.pk), password="blue valve 7")
        else:
            log_in(alice)

    at_once(8, work)
    assert not ApiToken.objects.exists()


def test_logins_over_the_limit_end_those_that_were_renewed_the_longest_ago(alice: User, settings: object) -> None:
    settings.LOGINS_PER_USER = 3  # type: ignore[attr-defined]  # pytest-django's settings
    one, two, three = (log_in(alice) for _ in range(3))
    with later():
        one = renew(one.refresh)
        four = log_in(alice)

        assert [is_live(tokens) for tokens in (one, two, three, four)] == [True, False, True, True]


@pytest.mark.django_db(transaction=True)
def test_a_hundred_logins_at_once_keep_to_the_limit(alice: User, settings: object) -> None:
    settings.LOGINS_PER_USER = 10  # type: ignore[attr-defined]  # pytest-django's settings
    results = at_once(100, lambda: log_in(alice))

    assert all(isinstance(one, LoginTokens) for one in results)
    assert ApiToken.objects.count() == 10


def test_ended_logins_are_cleared_away(alice: User) -> None:
    log_in(alice)
    services.create_token(user=alice, name="ci", expires_at=timezone.now())
    delete_ended_logins()
    assert ApiToken.objects.count() == 2
    with later(timedelta(days=30)):
        delete_ended_logins()

    assert [token.kind for token in ApiToken.objects.all()] == ["personal"]


def test_what_a_client_calls_itself_can_be_stored_and_shown(alice: User) -> None:
    services.log_in(user=alice, ip=None, user_agent="a\0b\x1b[31m\u202e" + "x" * 300)

    agent = ApiToken.objects.get().user_agent
    assert agent.startswith("ab[31mx")
    assert len(agent) == 200


def test_a_refresh_token_is_no_access_token() -> None:
    assert not looks_like_token("iotr_" + "a" * 86)
