from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts.access import Action
from accounts.api.authentication import SignInAuthentication, TokenAuthentication
from accounts.api.permissions import TokenScope
from accounts.models import ApiToken, User
from accounts.services import create_token, deactivate_user, revoke_token

HOUR = timedelta(hours=1)
ENDS = ("expires_at", "refresh_expires_at")


class Thing(APIView):
    """What a view of the API is, with the project's own authentication, permissions and errors."""

    def get(self, request: Request) -> Response:
        """Say who asks."""
        return Response({"user": request.user.get_username()})

    post = get


class Command(Thing):
    """A view that needs less than changing things does."""

    required_action = Action.CONTROL


def ask(header: str | bytes | None = None, view: type[APIView] = Thing, method: str = "get") -> Response:
    headers = {} if header is None else {"HTTP_AUTHORIZATION": header}
    request = getattr(APIRequestFactory(), method)("/", **headers)
    response: Response = view.as_view()(request)
    return response


def test_it_knows_a_tokens_user(alice: User) -> None:
    _, secret = create_token(user=alice, name="ci")

    for word in ("Bearer", "bearer", "BEARER"):
        assert ask(f"{word} {secret}").data == {"user": "alice"}


def test_it_answers_401_with_a_challenge_without_a_token() -> None:
    response = ask()

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    assert response.data["status"] == 401


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer iotp_" + "a" * 43,
        "Bearer iotp_" + "a" * 42,
        "Bearer iotp_" + "a" * 44,
        "Bearer xxxx_" + "a" * 43,
        "Bearer iotp_" + "a" * 43 + " more",
        "Bearer iotp_" + "é" * 43,
        "Bearer " + "a" * 100_000,
        b"Bearer \xff\xfe",
        "Bearer iotp_\0" + "a" * 42,
    ],
)
def test_it_refuses_a_header_that_is_no_token(header: str | bytes) -> None:
    response = ask(header)

    assert response.status_code == 401
    assert response.data["code"] in {"invalid_token", "authentication_failed"}


def test_it_refuses_the_hash_and_the_prefix_as_token(alice: User) -> None:
    token, _ = create_token(user=alice, name="ci")

    assert ask(f"Bearer {token.token_hash}").status_code == 401
    assert ask(f"Bearer {token.prefix}").status_code == 401


def test_it_leaves_other_schemes_to_others() -> None:
    assert ask("Basic YWxpY2U6eA==").status_code == 401


def test_it_refuses_an_ended_token(alice: User) -> None:
    _, ended = create_token(user=alice, name="a", expires_at=timezone.now() - timedelta(seconds=1))
    _, live = create_token(user=alice, name="b", expires_at=timezone.now() + timedelta(minutes=1))

    assert ask(f"Bearer {ended}").status_code == 401
    assert ask(f"Bearer {live}").status_code == 200


def test_it_refuses_a_revoked_token(alice: User) -> None:
    token, secret = create_token(user=alice, name="ci")
    revoke_token(token=token)

    assert ask(f"Bearer {secret}").status_code == 401


def test_it_refuses_the_token_of_a_user_who_was_shut_out(alice: User) -> None:
    _, secret = create_token(user=alice, name="ci")
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert ask(f"Bearer {secret}").status_code == 401

    deactivate_user(user=alice)
    assert ask(f"Bearer {secret}").status_code == 401


@pytest.mark.parametrize(
    ("scope", "read", "control", "change"), [("read", 200, 403, 403), ("control", 200, 200, 403), ("manage", 200, 200, 200)]
)
def test_a_token_does_what_its_scope_says(alice: User, scope: str, read: int, control: int, change: int) -> None:
    _, secret = create_token(user=alice, name="ci", scopes=[scope])
    header = f"Bearer {secret}"

    assert ask(header).status_code == read
    assert ask(header, Command, "post").status_code == control
    assert ask(header, Thing, "post").status_code == change


def test_no_scope_reaches_what_only_an_owner_may_do(alice: User) -> None:
    class Takeover(Thing):
        required_action = Action.OWN

    personal, secret = create_token(user=alice, name="ci", scopes=list(ApiToken.Scope))
    assert ask(f"Bearer {secret}", Takeover, "post").status_code == 403

    ApiToken.objects.filter(pk=personal.pk).update(kind="login", refresh_hash="r", **dict.fromkeys(ENDS, timezone.now() + HOUR))
    assert ask(f"Bearer {secret}", Takeover, "post").status_code == 200


def test_a_refusal_by_scope_says_so(alice: User) -> None:
    _, secret = create_token(user=alice, name="ci", scopes=[ApiToken.Scope.READ])

    assert ask(f"Bearer {secret}", method="post").data["detail"] == "This token's scope does not allow that."


def test_these_are_the_projects_own_rules() -> None:
    assert list(Thing.authentication_classes) == [TokenAuthentication, SignInAuthentication, SessionAuthentication]
    assert list(Thing.permission_classes) == [IsAuthenticated, TokenScope]


def test_a_token_opens_no_page(alice: User) -> None:
    _, secret = create_token(user=alice, name="ci")

    assert Client(headers={"authorization": f"Bearer {secret}"}).get("/account/").status_code == 302
