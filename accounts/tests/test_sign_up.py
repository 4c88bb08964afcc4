from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import EmailMessage
from django.db import connection
from django.test import Client, RequestFactory
from kombu.exceptions import OperationalError

from accounts import tasks
from accounts.http import too_many
from accounts.models import Account, Membership, Role, User
from accounts.services import support
from accounts.tests.helpers import CODE, SIGN_UP, code_in, has_code, sign_up_data


def errors(response: object) -> dict[str, list[str]]:
    return dict(response.context["form"].errors)  # type: ignore[attr-defined]  # the test client's


def test_it_makes_user_address_and_personal_account_and_sends_a_code(client: Client, mailoutbox: list[EmailMessage]) -> None:
    response = client.post(SIGN_UP, sign_up_data())

    assert response.status_code == 302
    assert response["Location"] == CODE
    user = User.objects.get(username="carol")
    assert (user.first_name, user.last_name, user.email) == ("Carol", "Chen", "carol@example.org")
    address = EmailAddress.objects.get(user=user)
    assert (address.email, address.primary, address.verified) == ("carol@example.org", True, False)
    membership = Membership.objects.get(user=user)
    assert (membership.role, membership.account.kind) == (Role.OWNER, Account.Kind.PERSONAL)
    assert "_auth_user_id" not in client.session
    [mail] = mailoutbox
    assert mail.to == ["carol@example.org"]
    assert len(code_in(mail)) == 6


def test_it_names_the_portal_in_a_mail_with_text_and_html_and_keeps_the_code_out_of_the_subject(
    client: Client, mailoutbox: list[EmailMessage]
) -> None:
    client.post(SIGN_UP, sign_up_data())

    [mail] = mailoutbox
    code = code_in(mail)
    html, kind = mail.alternatives[0]  # type: ignore[attr-defined]  # an EmailMultiAlternatives
    assert kind == "text/html"
    assert code in html
    assert "IoT Portal" in mail.subject
    assert code not in mail.subject
    assert "Carol" not in mail.body, "a name would let strangers put words into our mail"


def test_it_signs_in_with_the_code_and_goes_where_the_person_was_going(client: Client, mailoutbox: list[EmailMessage]) -> None:
    client.post(SIGN_UP, sign_up_data(next="/account/"))
    response = client.post(CODE, {"code": code_in(mailoutbox[0])})

    assert response["Location"] == "/account/"
    assert client.get("/account/").context["user"].username == "carol"
    assert EmailAddress.objects.get(email="carol@example.org").verified


@pytest.fixture
def two_codes(
    client: Client,
    mailoutbox: list[EmailMessage],
    clean_valkey: None,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> list[str]:
    """Return the code of a sign-up that is under way and the one that an operator has sent since."""
    client.post(SIGN_UP, sign_up_data())
    monkeypatch.setattr(support, "_CODE_MAIL", Mock(allow=lambda _: True))  # it is not the minute after the first one any more
    with django_capture_on_commit_callbacks(execute=True):
        support.resend_confirmation(user=User.objects.get(username="carol"))
    return [code_in(mail) for mail in mailoutbox]


def test_it_takes_the_code_that_an_operator_had_sent(client: Client, two_codes: list[str]) -> None:
    first, second = two_codes
    said = errors(client.post(CODE, {"code": first}))["code"]
    assert said == ["A newer code was sent, and only that works. Or send one again."]
    assert client.post(CODE, {"code": f" {second[:3]} {second[3:]} "})["Location"] == "/devices/"
    assert EmailAddress.objects.get(email="carol@example.org").verified


def test_an_operators_code_is_guessed_five_times_like_any_other(client: Client, two_codes: list[str]) -> None:
    wrong = next(code for code in ("000000", "111111", "222222") if code not in two_codes)
    for _ in range(5):
        client.post(CODE, {"code": wrong})
    client.post(CODE, {"code": two_codes[1]})
    assert not EmailAddress.objects.get(email="carol@example.org").verified


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"])
def test_it_does_not_send_anybody_to_another_site(client: Client, mailoutbox: list[EmailMessage], target: str) -> None:
    client.post(SIGN_UP, sign_up_data(next=target))
    response = client.post(CODE, {"code": code_in(mailoutbox[0]), "next": target})

    assert response["Location"] == "/devices/"


def test_it_takes_the_own_address_as_user_name(client: Client, mailoutbox: list[EmailMessage]) -> None:
    client.post(SIGN_UP, sign_up_data(username="Carol@Example.org"))

    client.post(CODE, {"code": code_in(mailoutbox[0])})
    assert User.objects.get(email="carol@example.org").username == "Carol@Example.org"


@pytest.mark.parametrize("username", ["alice@example.org", "nobody@example.org"])
def test_it_refuses_another_address_as_user_name_whether_it_is_somebodys_or_not(
    client: Client, alice: User, username: str
) -> None:
    response = client.post(SIGN_UP, sign_up_data(username=username))

    assert errors(response) == {"username": ["A user name with @ must be your own e-mail address."]}


@pytest.mark.parametrize("username", ["alice", "ALICE", "Alice"])
def test_it_refuses_a_user_name_that_is_taken_in_any_case(client: Client, alice: User, username: str) -> None:
    response = client.post(SIGN_UP, sign_up_data(username=username))

    assert errors(response) == {"username": ["That user name is taken."]}


def test_it_refuses_the_names_of_operators(client: Client) -> None:
    assert errors(client.post(SIGN_UP, sign_up_data(username="Admin"))) == {"username": ["That user name is taken."]}


@pytest.mark.parametrize(
    "username",
    [
        "ａｌｉｃｅ",  # full width
        "аlice",  # a Cyrillic а
        "ali\u200bce",  # a space of no width
        "alice\u202e",  # right to left from here
        "al ice",
        "alice/..",
        "<b>alice</b>",
        "@",
        "a@",
        "a@b@c",
    ],
)
def test_it_refuses_user_names_that_look_like_others(client: Client, alice: User, username: str) -> None:
    response = client.post(SIGN_UP, sign_up_data(username=username))

    assert response.status_code == 400
    assert "username" in errors(response)
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "c" * 151),
        ("username", "ca"),
        ("username", "ca\0rol"),
        ("username", ""),
        ("email", "not an address"),
        ("email", "carol@example.org\0"),
        ("email", "carol@ｅxample.org"),
        ("email", "c" * 250 + "@example.org"),
        ("email", ""),
        ("first_name", "C" * 151),
        ("first_name", "Ca\0rol"),
        ("first_name", "Carol\nBcc: all@example.org"),
        ("first_name", "\u202eloraC"),
        ("last_name", " "),
        ("password1", "short"),
        ("password1", "1234567890123"),
        ("password1", "carol@example.org"),
        ("password1", "p4" * 129),
        ("password1", "green\0pump 42 runs"),
        ("password1", ""),
    ],
)
def test_it_says_at_the_field_what_is_wrong(client: Client, mailoutbox: list[EmailMessage], field: str, value: str) -> None:
    response = client.post(SIGN_UP, sign_up_data(**{field: value}))

    assert response.status_code == 400
    assert list(errors(response)) == [field]
    page = response.content.decode()
    control = re.search(rf'<input[^>]*name="{field}"[^>]*>', page)
    assert control
    assert 'aria-invalid="true"' in control[0]
    described = re.search(r'aria-describedby="([^"]*)"', control[0])
    assert described
    assert all(f'id="{key}"' in page for key in described[1].split())
    assert not User.objects.exists()
    assert not mailoutbox


def test_it_keeps_what_was_typed_but_never_the_password(client: Client) -> None:
    page = client.post(SIGN_UP, sign_up_data(email="wrong")).content.decode()

    assert 'value="Carol"' in page
    assert sign_up_data()["password1"] not in page


def test_it_takes_names_in_any_script(client: Client) -> None:
    client.post(SIGN_UP, sign_up_data(first_name="Łukasz", last_name="山田"))

    assert User.objects.get().get_full_name() == "Łukasz 山田"


@pytest.mark.parametrize("email", ["alice@example.org", "ALICE@Example.ORG"])
@pytest.mark.parametrize("own_name", [False, True])
def test_it_answers_a_known_address_as_an_unknown_one(
    client: Client, alice: User, mailoutbox: list[EmailMessage], email: str, own_name: bool
) -> None:
    """Also with the address as user name, which a plain look-up would call taken."""
    if own_name:
        User.objects.filter(pk=alice.pk).update(username="alice@example.org")
    other = Client()

    def both(step: Callable[[Client, str], tuple[object, ...]]) -> None:
        assert step(client, email) == step(other, "dora@example.org")

    def sign_up(browser: Client, address: str) -> tuple[object, ...]:
        name = address if own_name else f"{address[:4]}-x"
        response = browser.post(SIGN_UP, sign_up_data(username=name, email=address))
        return response.status_code, response["Location"], sorted(response.cookies)

    def page(browser: Client, address: str) -> tuple[object, ...]:
        text = browser.get(CODE).content.decode().replace(address.lower(), "…")
        return (re.sub(r'(name="csrfmiddlewaretoken" value=|data-wait=)"[^"]*"|possible in \d+ s', "", text),)

    def wrong_code(browser: Client, address: str) -> tuple[object, ...]:
        response = browser.post(CODE, {"code": "x"})
        return response.status_code, response.context["tries_left"]

    both(sign_up)
    both(page)
    both(wrong_code)
    both(page)
    assert User.objects.filter(email="alice@example.org").count() == 1
    to_alice, to_dora = mailoutbox
    assert to_alice.to == ["alice@example.org"]
    assert "There is an account with this address already" in to_alice.body
    assert not has_code(to_alice)
    assert code_in(to_dora)


def test_it_hashes_the_password_for_a_known_address_too(client: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this the answer for a known address comes sooner, and tells."""
    hashed: list[str] = []
    monkeypatch.setattr("accounts.forms.make_password", hashed.append)
    client.post(SIGN_UP, sign_up_data(email="alice@example.org"))

    assert len(hashed) == 1


def test_it_links_to_the_portals_own_address_whatever_host_was_asked(
    client: Client, alice: User, mailoutbox: list[EmailMessage]
) -> None:
    client.post(SIGN_UP, sign_up_data(email="alice@example.org"), headers={"host": "127.0.0.1"})

    assert "http://localhost/accounts/login/" in mailoutbox[0].body
    assert "127.0.0.1" not in mailoutbox[0].body


def test_it_lets_the_person_start_over_with_another_address(client: Client, mailoutbox: list[EmailMessage]) -> None:
    client.post(SIGN_UP, sign_up_data(email="corol@example.org"))
    assert client.get(SIGN_UP)["Location"] == CODE, "a sign-up half done goes on"

    assert client.post("/accounts/start-over/")["Location"] == SIGN_UP
    assert client.get(SIGN_UP).status_code == 200
    client.post(SIGN_UP, sign_up_data())
    client.post(CODE, {"code": code_in(mailoutbox[-1])})

    assert [user.email for user in User.objects.all()] == ["carol@example.org"]
    assert Account.objects.count() == 1


def test_starting_over_removes_nobody_who_was_there_before(client: Client, alice: User) -> None:
    client.post(SIGN_UP, sign_up_data(email="alice@example.org"))
    client.post("/accounts/start-over/")

    assert User.objects.get() == alice


@pytest.mark.django_db(transaction=True)
def test_it_says_so_when_the_queue_takes_no_mail(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks.send_mail, "apply_async", Mock(side_effect=OperationalError))
    response = client.post(SIGN_UP, sign_up_data())

    assert response.status_code == 503
    assert b"The mail could not be sent" in response.content
    assert User.objects.filter(username="carol").exists(), "signing in sends another code"
    assert "carol@example.org" not in caplog.text


def test_it_answers_429_in_our_design_after_too_many_sign_ups(client: Client) -> None:
    for _ in range(20):
        client.post(SIGN_UP, {})
    response = client.post(SIGN_UP, {})

    assert response.status_code == 429
    assert 50 <= int(response["Retry-After"]) <= 60
    assert b"Too many requests" in response.content
    assert b"portal.css" in response.content
    assert b"tabbar" not in response.content


def test_who_is_signed_in_keeps_the_menu_when_they_must_wait(client: Client, rf: RequestFactory) -> None:
    request = rf.get("/account/")
    request.user, request.session = User.objects.create_user("carol"), client.session
    response = too_many(request, 90)

    assert (response.status_code, response["Retry-After"]) == (429, "90")
    assert b"Try again in 90 s" in response.content
    assert b"tabbar" in response.content


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("changes", [{"email": "dora@example.org"}, {"username": "dora"}, {}])
def test_two_at_once_cannot_both_have_a_user_name_or_an_address(changes: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both pass the form's checks before either is saved; then one is first."""
    both_checked = threading.Barrier(2, timeout=20)
    original = User.save

    def save_together(self: User, *args: object, **kwargs: object) -> None:
        both_checked.wait()
        original(self, *args, **kwargs)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr("accounts.models.User.save", save_together)
    answers: list[object] = []

    def sign_up(data: dict[str, str]) -> None:
        try:
            answers.append(Client().post(SIGN_UP, data))
        finally:
            connection.close()

    threads = [threading.Thread(target=sign_up, args=(data,)) for data in (sign_up_data(), sign_up_data(**changes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert User.objects.count() == Account.objects.count() == EmailAddress.objects.count() == 1
    codes = sorted(answer.status_code for answer in answers)  # type: ignore[attr-defined]  # answers of the test client
    if "email" in changes:  # one user name, two addresses: the second is told
        assert codes == [302, 400]
        [refused] = [answer for answer in answers if answer.status_code == 400]  # type: ignore[attr-defined]  # answers of the test client
        assert errors(refused) == {"username": ["That user name is taken."]}
    elif "username" in changes:  # one address: the second is treated as one who signs up with a known address
        assert codes in ([302, 302], [302, 429])
    else:  # a form sent twice
        assert codes in ([302, 302], [302, 400], [302, 429])
