"""One shape for every error of the API: problem details (RFC 9457).

    {"type": "about:blank", "title": "Not found", "status": 404, "detail": "No such device.", "code": "not_found", "errors": {}}

`code` is for programs, `detail` for people, `errors` holds the messages per field where there are fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

CONTENT_TYPE = "application/problem+json"
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
    429: "Too many requests",
    500: "Server error",
    502: "Bad answer from the device",
    503: "Unavailable",
    504: "No answer from the device",
}


class Problem(Exception):
    """An error that a caller is told as it is."""

    def __init__(
        self, status: int, code: str, detail: str, *, errors: Errors | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = dict(errors or {})
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, object]:
        """Return the JSON object of RFC 9457."""
        return problem_body(self.status, self.code, self.detail, self.errors)


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


def _content_type(context: dict[str, Any]) -> str | None:
    """Return the media type of a problem, unless the browsable pages show it."""
    renderer = getattr(context.get("request"), "accepted_renderer", None)
    return None if renderer is not None and renderer.format != "json" else CONTENT_TYPE


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Turn every exception of a DRF view into a problem; what is not known stays an exception (500)."""
    if isinstance(exc, Problem):
        headers = {"Retry-After": str(exc.retry_after_s)} if exc.retry_after_s is not None else None
        return Response(exc.body(), status=exc.status, headers=headers, content_type=_content_type(context))
    if isinstance(exc, Http404):
        exc = exceptions.NotFound(str(exc) or "Not found.")
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied(str(exc) or None)
    response = drf_exception_handler(exc, context)
    if response is None or not isinstance(exc, exceptions.APIException):
        return response
    errors = _errors_of(exc.detail) if isinstance(exc, exceptions.ValidationError) else {}
    detail = "Some fields are not right." if errors else str(exc.detail)
    code = "invalid" if errors else str(exc.get_codes())
    response.data = problem_body(response.status_code, code, detail, errors)
    response.content_type = _content_type(context)
    return response
