from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import tasks
from accounts.hooks import session_ended
from accounts.models import ApiToken, User
from accounts.services import change_password, create_token, find_token, log_in
from accounts.tests.helpers import PASSWORD, SIGN_IN

ACCOUNT, END_OTHERS = "/account/", "/account/sessions/end/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605 Version/17.5 Mobile/15E148 Safari/604.1"


def browser(agent: str = FIREFOX, login: str = "alice", **options: Any) -> Client:
    """Return a browser in which somebody has signed in."""
    client = Client(headers={"user-agent": agent}, **options)
    assert client.post(SIGN_IN, {"login": login, "password": PASSWORD}).status_code == 302
    return client


def key(client: Client) -> str:
    return client.cookies[django_settings.SESSION_COOKIE_NAME].value


def listed(client: Client) -> list[str]:
    """Return the lines of the list, without markup."""
    page = client.get(ACCOUNT).content.decode()
    found = re.search(r'id="sessions-list">(.*?)</ul>', page, re.DOTALL)
    assert found
    lines = re.findall(r"<li>(.*?)</li>", found[1], re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", line).split()) for line in lines]


def end_url(client: Client, words: str) -> str:
    """Return where the button beside a line leads."""
    page = client.get(ACCOUNT).content.decode()
    found = re.search(rf'action="(/account/(?:sessions|logins)/[0-9a-f-]+/end/)">(?:(?!</form>).)*{words}', page, re.DOTALL)
    assert found, page
    return found[1]


@pytest.fixture
def ended() -> Iterator[list[str]]:
    """Return the keys of the sessions that others were told of."""
    keys: list[str] = []
    session_ended.register(keys.append)
    yield keys
    session_ended._handlers.remove(keys.append)


def test_it_lists_browsers_and_programs_this_one_first(alice: User) -> None:
    here, phone = browser(), browser(SAFARI, REMOTE_ADDR="198.51.100.9")
    phone.get("/devices/")
    log_in(user=alice, ip="203.0.113.5", user_agent="garden-watcher/1.2")
    create_token(user=alice, name="grafana")
    lines = listed(here)

    assert len(lines) == 3
    assert re.match(r"Firefox on Linux 127\.0\.0\.1 · signed in (just now|.* ago) · used (just now|.* ago) this one$", lines[0])
    assert lines[1].startswith("Safari on iPhone 198.51.100.9")
    assert lines[2].startswith("garden-watcher 1.2 Program 203.0.113.5")
    assert key(phone) not in here.get(ACCOUNT).content.decode()


def test_ending_one_signs_it_out_at_once_and_nobody_else(alice: User, ended: list[str]) -> None:
    here, phone, third = browser(), browser(SAFARI), browser()
    response = here.post(end_url(here, "Safari on iPhone"), follow=True)

    assert b"Safari on iPhone is signed out." in response.content
    assert ended == [key(phone)]
    assert phone.get(ACCOUNT).status_code == 302
    assert third.get(ACCOUNT).status_code == 200
    assert len(listed(here)) == 2


@pytest.mark.parametrize("url", ["/accounts/logout/", "/admin/logout/"])
def test_pages_close_once_the_session_they_would_ask_with_is_gone(url: str, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    here, there = browser(), []
    session_ended.register(remember := lambda key: there.append((key, Session.objects.filter(session_key=key).exists())))
    opened = key(here)
    try:
        here.post(url)
    finally:
        session_ended._handlers.remove(remember)
    assert there == [(opened, False)]


def test_a_program_that_is_signed_out_has_dead_tokens(alice: User) -> None:
    here = browser()
    login = log_in(user=alice, ip=None, user_agent="garden-watcher/1.2")
    assert find_token(login.access) is not None
    here.post(end_url(here, "garden-watcher"))

    assert find_token(login.access) is None
    assert len(listed(here)) == 1


def test_signing_out_everywhere_else_leaves_this_browser_and_the_api_tokens(alice: User, ended: list[str]) -> None:
    here, phone = browser(), browser(SAFARI)
    login = log_in(user=alice, ip=None, user_agent="curl/8")
    _, secret = create_token(user=alice, name="grafana")
    assert b"stays" in here.get(END_OTHERS).content
    response = here.post(END_OTHERS, follow=True)

    assert b"Signed out in 2 other places." in response.content
    assert ended == [key(phone)]
    assert phone.get(ACCOUNT).status_code == 302
    assert here.get(ACCOUNT).status_code == 200
    assert find_token(login.access) is None
    assert find_token(secret) is not None


def test_signing_out_everywhere_needs_a_recent_sign_in(alice: User) -> None:
    here, phone = browser(), browser(SAFARI)
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        response = here.post(END_OTHERS)
        assert response.status_code == 302
        assert response["Location"].startswith("/accounts/confirm/")
        assert phone.get(ACCOUNT).status_code == 200


def test_anothers_session_is_as_unknown_as_none(alice: User, bob: User) -> None:
    here, other = browser(), browser(login="bob")
    other.get(ACCOUNT)
    login = log_in(user=bob, ip=None, user_agent="curl/8")
    mine = browser(SAFARI, login="bob")
    theirs = [end_url(other, "Safari on iPhone"), end_url(other, "curl")]
    for url in (*theirs, "/account/sessions/00000000-0000-4000-8000-000000000000/end/"):
        assert here.post(url).status_code == 404
        assert here.get(url).status_code == 405

    assert mine.get(ACCOUNT).status_code == 200
    assert find_token(login.access) is not None


def test_a_new_password_ends_all_sessions(alice: User, ended: list[str]) -> None:
    browsers = [browser(), browser(SAFARI)]
    keys = sorted(map(key, browsers))
    change_password(user=alice, password="blue valve 7 opens")

    assert all(one.get(ACCOUNT).status_code == 302 for one in browsers)
    assert sorted(ended) == keys
    assert not UserSession.objects.exists()


def test_use_is_noted_once_a_minute(alice: User, django_assert_num_queries: Any) -> None:
    here = browser()
    here.get("/menu/")
    first = UserSession.objects.get().last_seen_at
    with django_assert_num_queries(1):  # the user
        here.get("/menu/")
    assert UserSession.objects.get().last_seen_at == first
    cache.delete(f"session-noted:{key(here)}")  # a minute later
    here.get("/menu/", headers={"user-agent": SAFARI}, REMOTE_ADDR="198.51.100.9")

    noted = UserSession.objects.get()
    assert noted.last_seen_at > first
    assert (noted.ip, noted.user_agent) == ("198.51.100.9", SAFARI)


def test_a_session_in_use_does_not_end_and_one_that_is_not_does(alice: User) -> None:
    used, idle = browser(), browser()
    for hours in (5, 10, 15, 20):
        with time_machine.travel(timezone.now() + timedelta(hours=hours)):
            cache.delete(f"session-noted:{key(used)}")
            assert used.get("/menu/").status_code == 200
    with time_machine.travel(timezone.now() + timedelta(hours=20)):
        cache.delete_many([f"django.contrib.sessions.cached_db{key(idle)}"])  # Valkey's clock goes on as it does
        assert idle.get("/menu/").status_code == 302
        assert len(listed(used)) == 1
        tasks.clear_ended_sessions()

    assert [row.session_key for row in UserSession.objects.all()] == [key(used)]
    assert Session.objects.count() == 1


def test_an_ended_login_is_not_listed(alice: User) -> None:
    here = browser()
    log_in(user=alice, ip=None, user_agent="curl/8")
    ApiToken.objects.update(refresh_expires_at=timezone.now() - timedelta(seconds=1))

    assert len(listed(here)) == 1


def test_a_header_of_any_kind_is_shown_as_text(alice: User) -> None:
    here = browser()
    browser("<script>alert(1)</script>")
    log_in(user=alice, ip=None, user_agent="\x00\x1b[31m<b>")

    assert "<script>alert" not in here.get(ACCOUNT).content.decode()
    assert [line.split(" 127")[0] for line in listed(here)][1:] == ["Unknown program", listed(here)[2]]


def test_the_list_takes_as_many_queries_for_many_as_for_few(alice: User, django_assert_max_num_queries: Any) -> None:
    here = browser()
    for _ in range(8):
        browser(SAFARI)
        log_in(user=alice, ip=None, user_agent="curl/8")
    here.get(ACCOUNT)
    with django_assert_max_num_queries(13):
        here.get(ACCOUNT)
