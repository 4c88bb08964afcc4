"""One shape for every error of the API: problem details (RFC 9457).

    {"type": "about:blank", "title": "Not found", "status": 404, "detail": "No such device.", "code": "not_found", "errors": {}}

`code` is for programs, `detail` for people, `errors` holds the messages per field where there are fields. `see`, where there is
one, is the page on which a person can do something about it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404
from redis.exceptions import RedisError
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
SOME_FIELDS = "Some fields are not right."
Errors = Mapping[str, Sequence[str]]

TITLES = {
    400: "Bad request",
    401: "Not signed in",
    402: "No credits left",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Not the same request",
    429: "Too many requests",
    500: "Server error",
    502: "Bad answer from the device",
    503: "Unavailable",
    504: "No answer from the device",
}


class Problem(Exception):
    """An error that a caller is told as it is."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Errors | None = None,
        retry_after_s: int | None = None,
        see: str = "",
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = dict(errors or {})
        self.retry_after_s = retry_after_s
        self.see = see

    def body(self) -> dict[str, object]:
        """Return the JSON object of RFC 9457."""
        body = problem_body(self.status, self.code, self.detail, self.errors)
        return {**body, "see": self.see} if self.see else body


def problem_body(status: int, code: str, detail: str, errors: Errors | None = None) -> dict[str, object]:
    """Return a problem details object."""
    return {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "errors": {name: list(messages) for name, messages in (errors or {}).items()},
    }


def _errors_of(detail: object) -> dict[str, list[str]]:
    """Flatten DRF's nested validation messages to {path: [message]}."""
    found: dict[str, list[str]] = {}

    def walk(value: object, path: str) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                walk(item, f"{path}.{key}" if path else str(key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk(item, f"{path}.{index}" if isinstance(item, Mapping) else path)
        else:
            found.setdefault(path or "non_field_errors", []).append(str(value))

    walk(detail, "")
    return found


def invalid(errors: Errors) -> Problem:
    """Return the answer to fields that are not right; `errors`: messages per field."""
    return Problem(400, "invalid", SOME_FIELDS, errors=errors)


def _negotiate(context: dict[str, Any]) -> str | None:
    """Return the media type of a problem: JSON, unless the browsable pages show it."""
    request = context.get("request")
    renderer = getattr(request, "accepted_renderer", None)
    kind = getattr(renderer, "format", None)
    if kind in {"api", "html"}:
        return None
    if kind != "json" and request is not None:  # none was found, or the schema's YAML: a problem is JSON all the same
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), "application/json"
    return CONTENT_TYPE


def _as_problem(exc: Exception) -> Problem | None:
    """Return what Django and its stores say wrong as a problem, or None for what DRF knows or nobody does."""
    if isinstance(exc, Problem):
        return exc
    if isinstance(exc, Http404):
        return Problem(404, "not_found", str(exc) or "Not found.")
    if isinstance(exc, SuspiciousOperation):
        return Problem(400, "bad_request", "The request could not be read.")
    if isinstance(exc, OperationalError | InterfaceError | RedisError):
        logger.error("the API is without its database or cache: %s", exc)
        return Problem(503, "unavailable", "The portal cannot reach its own data right now. Try again soon.", retry_after_s=2)
    return None


def _our_mistake(exc: Exception, context: dict[str, Any]) -> Problem:
    """Note an exception that nobody expected, where Django would note it, and return what the caller is told."""
    request = getattr(context.get("request"), "_request", None)
    logger.error("the API failed", exc_info=exc)
    got_request_exception.send(sender=None, request=request)
    return Problem(500, "error", "Something went wrong here. It has been noted.")


def _known_to_drf(exc: exceptions.APIException) -> Problem:
    """Return one of DRF's own exceptions as a problem."""
    wait = getattr(exc, "wait", None)
    retry_after_s = None if wait is None else max(1, int(wait))
    if isinstance(exc, exceptions.ValidationError):
        return Problem(exc.status_code, "invalid", SOME_FIELDS, errors=_errors_of(exc.detail))
    return Problem(exc.status_code, str(exc.get_codes()), str(exc.detail), retry_after_s=retry_after_s)


def as_problem(exc: Exception, context: dict[str, Any]) -> tuple[Problem, dict[str, str]]:
    """Return every exception of a DRF view as a problem, and the headers that go with it."""
    if isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied(str(exc) or None)
    problem = (_known_to_drf(exc) if isinstance(exc, exceptions.APIException) else _as_problem(exc)) or _our_mistake(exc, context)
    headers = {}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    if challenge := getattr(exc, "auth_header", None):  # DRF's views set it
        headers["WWW-Authenticate"] = challenge
    return problem, headers


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response:
    """Answer an exception of a DRF view with a problem."""
    problem, headers = as_problem(exc, context)
    return Response(problem.body(), status=problem.status, headers=headers, content_type=_negotiate(context))
