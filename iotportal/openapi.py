"""How the API describes itself: drf-spectacular's schema, with the errors that operations can answer."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from iotportal.idempotency import HEADER as IDEMPOTENCY_KEY
from iotportal.problems import CONTENT_TYPE, TITLES
from iotportal.serializers import StrictSerializer


class ProblemSerializer(serializers.Serializer[Any]):
    """Problem details (RFC 9457), the one shape of every error."""

    type = serializers.CharField(help_text="Always about:blank: `code` says what it is.")
    title = serializers.CharField(help_text="The status in words.")
    status = serializers.IntegerField(help_text="The HTTP status once more.")
    detail = serializers.CharField(help_text="What happened, for people.")
    code = serializers.CharField(help_text="What happened, for programs.")
    errors = serializers.DictField(  # type: ignore[assignment]  # DRF takes declared fields out of the class
        child=serializers.ListField(child=serializers.CharField()), help_text="Sentences per field, where fields are not right."
    )
    see = serializers.URLField(
        required=False, help_text="The page on which a person can do something about it: with 402 the account's subscription."
    )


COMMAND_ERRORS = (402, 409, 502, 504)  # of operations that talk to a device
_DESCRIPTIONS = {
    400: "The body, a field or a parameter is not right; `errors` says which.",
    401: "No sign-in: the token is missing, not known, has ended or was revoked.",
    402: "All messages of this month are used, and no credits are left. Nothing was sent; `see` is where there are more.",
    403: "The token's scope or your role does not allow it, or a session's request came without its CSRF token.",
    404: "There is no such thing, or it is not yours: both look the same.",
    405: "It cannot be done in this way: the api is of another kind.",
    406: "The Accept header names no type that this can be.",
    409: "It does not go together with how things are: a name that is taken, a device that is not connected, an "
    "`Idempotency-Key` whose first request is still under way.",
    413: "The body is larger than 64 KiB.",
    415: "The body must be application/json.",
    422: "The `Idempotency-Key` was used before, for another request.",
    429: "Too many requests, or too many commands that wait for one device; `Retry-After` says how many seconds to wait.",
    502: "The device answered, but with an error of its own or with something that cannot be read.",
    503: "The portal has no connection to its broker or data. Try again after `Retry-After` seconds.",
    504: "The device did not answer in time.",
}
_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
_WWW_AUTHENTICATE = {"description": "How to sign in.", "schema": {"type": "string"}}
_IDEMPOTENCY_KEY = OpenApiParameter(
    IDEMPOTENCY_KEY,
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    OpenApiParameter.HEADER,
    description="Makes it safe to send the request again: for 24 hours the same key with the same request gets the first answer, "
    "with `Idempotency-Replayed: true`, and nothing is done twice. Use a new UUID for each new request.",
)
_CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HEADERS = {
    "401": {"WWW-Authenticate": _WWW_AUTHENTICATE},
    "429": {"Retry-After": _RETRY_AFTER},
    "503": {"Retry-After": _RETRY_AFTER},
}


def problems(*statuses: int) -> dict[int, OpenApiResponse]:
    """Return the responses of these statuses, for `extend_schema(responses=…)`."""
    return {status: OpenApiResponse(ProblemSerializer, description=_DESCRIPTIONS[status]) for status in statuses}


class AutoSchema(SpectacularSchema):
    """Adds the errors that an operation can answer by what it is."""

    def _errors(self) -> list[int]:
        """Return the statuses that follow from the operation's parameters, body and permissions."""
        found = [403, 406, 429, 503]
        if self.get_auth() != [{}]:
            found.append(401)
        parameters = self._get_parameters()
        if any(one["in"] == "path" for one in parameters):
            found.append(404)
        if any(one["in"] == "query" for one in parameters):
            found.append(400)
        if self.method in {"POST", "PUT", "PATCH"}:
            found.append(400)
            if self.get_request_serializer() is not None:
                found += [413, 415]
        if self._takes_idempotency_key():
            found += [400, 409, 422]
        return sorted(set(found))

    def _takes_idempotency_key(self) -> bool:
        """Say whether the operation changes something for somebody known."""
        return self.method in _CHANGES and self.get_auth() != [{}]

    def get_override_parameters(self) -> list[Any]:
        """Add the header that every change takes."""
        return [_IDEMPOTENCY_KEY] if self._takes_idempotency_key() else []

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        """Return what the view declares, and a problem for each of the errors."""
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status in map(str, self._errors()):
            if status not in bodies:
                bodies[status] = self._get_response_for_code(ProblemSerializer, status, [CONTENT_TYPE], direction)  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
        for status, body in bodies.items():
            if int(status) < 400:
                continue
            body["content"] = {CONTENT_TYPE: next(iter(body["content"].values()))}
            body["description"] = body.get("description") or _DESCRIPTIONS.get(int(status), TITLES.get(int(status), "Error"))
            if status in _HEADERS:
                body["headers"] = _HEADERS[status]
        return dict(sorted(bodies.items()))

    def _map_basic_serializer(self, serializer: Any, direction: str) -> dict[str, Any]:
        """Say of a strict body that it takes nothing else."""
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
        if direction == "request" and isinstance(serializer, StrictSerializer):
            schema["additionalProperties"] = False
        return schema


@cache
def whole_schema() -> dict[str, Any]:
    """Return the OpenAPI document; it is made once, as it is the same for everybody."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
    schema: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
    return schema
