"""How the documented API describes itself in OpenAPI."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers

from iotportal.legacy import Body
from iotportal.problems import TITLES

INFO = {
    "title": "IoT Portal: the documented REST API",
    "version": "0",
    "description": (
        "The API that client programs have used for years; new programs use version 1. All paths take POST with a JSON body, "
        "those that only read take GET with the same body too, and all work with a slash at the end. "
        'Good answers have `"status": "OK"`, refusals `"status": "NG"` with a `code` for programs.'
    ),
}
_ERRORS: dict[int, tuple[str, str, str]] = {  # code, message, and what it means
    400: (
        "invalid",
        "devicename: This field is required.",
        "A field is missing, wrong, or given twice; or the body is not JSON.",
    ),
    401: (
        "invalid_token",
        "That token is not known, has ended or was revoked, or it is not this user's.",
        "No token, or one that is not good for this user.",
    ),
    402: ("quota_exceeded", "All messages of this month are used. Nothing was sent.", "No credits left; nothing was sent."),
    403: (
        "permission_denied",
        "Your role in this account does not allow that.",
        "The token or your role does not reach that far.",
    ),
    404: ("not_found", "No such device.", "There is no such device, or it is another user's: both look the same."),
    409: ("device_offline", "The device is not connected. Nothing was sent.", "It does not go together with how things are."),
    413: ("too_large", "The body may have 64 KiB.", "The body is too large."),
    429: (
        "throttled",
        "Too many tries. Wait a little, then try again.",
        "Too many requests; `Retry-After` says how long to wait.",
    ),
    502: (
        "malformed_answer",
        "The device's answer could not be read.",
        "The device answered with something that cannot be read.",
    ),
    503: ("unavailable", "The portal is starting.", "The portal is without its broker or data; try again after `Retry-After`."),
    504: ("device_timeout", "No answer in 5 s.", "The device did not answer in time."),
}
_ALWAYS = (400, 413, 429, 503)
Errors = Mapping[int, tuple[str, str] | None]  # code and message of the example, None: the ones above
DEVICE_ERRORS: Errors = {
    403: None,
    404: None,
    409: ("name_ambiguous", "Several of your organisations have a device of that name."),
}
COMMAND_ERRORS: Errors = {402: None, **DEVICE_ERRORS, 502: None, 504: None}
_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}

Method = TypeVar("Method", bound=Callable[..., Any])


@extend_schema_field({"type": "string", "pattern": "^OK$"})
class _Ok(serializers.CharField):
    """Always OK."""


@extend_schema_field({"type": "string", "pattern": "^NG$"})
class _No(serializers.CharField):
    """Always NG."""


class Answer(serializers.Serializer[Any]):
    """A good answer."""

    status = _Ok()
    message = serializers.CharField(help_text="What happened, for people.")


class Refusal(serializers.Serializer[Any]):
    """A refusal."""

    status = _No()
    message = serializers.CharField(help_text="What happened, for people.")
    code = serializers.CharField(help_text="What happened, for programs.")
    errors = serializers.DictField(  # type: ignore[assignment]  # DRF takes declared fields out of the class
        child=serializers.ListField(child=serializers.CharField()), required=False, help_text="Sentences per field."
    )


def describe(
    name: str,
    summary: str,
    *,
    takes: type[Body],
    answers: type[Answer],
    sent: dict[str, Any],
    got: dict[str, Any],
    errors: Errors = MappingProxyType({}),
) -> Callable[[Method], Method]:
    """Describe one operation: its fields, its answer, an example of both, and the errors beyond those of every path."""
    described = extend_schema(
        operation_id=name,
        summary=summary,
        request=takes,
        responses={200: answers, **{status: _refusal(status) for status in errors}},
        examples=[
            OpenApiExample("Request", sent, request_only=True),
            OpenApiExample("Answer", {"status": "OK", **got}, response_only=True, status_codes=["200"]),
        ],
    )

    def decorate(method: Method) -> Method:
        method.schema = LegacySchema  # type: ignore[attr-defined]  # or extend_schema would build on version 1's
        method.errors = errors  # type: ignore[attr-defined]  # LegacySchema reads it
        found: Method = described(method)
        return found

    return decorate


def _refusal(status: int) -> OpenApiResponse:
    return OpenApiResponse(Refusal, description=_ERRORS[status][2])


class LegacySchema(AutoSchema):
    """Adds old spellings, the errors of every path, and the two places in which a token may stand."""

    def get_tags(self) -> list[str]:
        """Return the first word of the path."""
        return [self.path.split("/")[2]]

    def map_parsers(self) -> list[str]:
        """Name the one type that a client should send."""
        return ["application/json"]

    def get_auth(self) -> list[dict[str, Any]]:
        """A token may stand in the header; in the body it is a field."""
        return [{"token": []}, {}] if self.view.authentication_classes else [{}]

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        bodies["200"]["description"] = "It is done."
        signed_in = (401,) if self.view.authentication_classes else ()
        for status in (*_ALWAYS, *signed_in):
            if str(status) not in bodies:
                bodies[str(status)] = self._get_response_for_code(_refusal(status), str(status), None, direction)  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
        examples = getattr(getattr(self.view, self.method.lower()), "errors", {})
        for status, body in bodies.items():
            if status in {"429", "503"}:
                body["headers"] = {"Retry-After": _RETRY_AFTER}
            if int(status) >= 400:
                code, message = examples.get(int(status)) or _ERRORS[int(status)][:2]
                body["content"]["application/json"]["example"] = {"status": "NG", "message": message, "code": code}
        return dict(sorted(bodies.items()))

    def _map_basic_serializer(self, serializer: Any, direction: str) -> dict[str, Any]:
        if getattr(serializer, "partial", False):  # PATCH reads here, and takes what POST would
            serializer.partial = False
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
        for name, others in getattr(serializer, "aliases", {}).items():
            for other in others:
                schema["properties"][other] = {**schema["properties"][name], "description": f"An old spelling of `{name}`."}
            if name in schema.get("required", []):
                schema["required"].remove(name)
                spellings = [{"required": [one]} for one in (name, *others)]
                schema.setdefault("allOf", []).append({"anyOf": spellings})
        if not schema.get("required", True):
            del schema["required"]
        return schema


class _WithBody(EndpointEnumerator):
    """Leaves out GET and DELETE, which OpenAPI knows without a body alone; the operation beside them says that they are there."""

    def get_allowed_methods(self, callback: Any) -> list[str]:
        methods: list[str] = super().get_allowed_methods(callback)  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
        return [method for method in methods if method not in {"GET", "DELETE"}]


class _Generator(SchemaGenerator):
    endpoint_inspector_cls = _WithBody


def legacy_schema(patterns: Sequence[Any]) -> dict[str, Any]:
    """Return the OpenAPI document of these paths."""
    generator = _Generator(patterns=patterns)  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
    schema: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
    schema["info"] = INFO
    schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": "A login's token."}}
    return schema


assert set(_ERRORS) <= {*TITLES}  # noqa: S101  # no status that version 1 does not know
