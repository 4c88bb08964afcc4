"""How the API describes itself: drf-spectacular's schema, with the errors that every operation can answer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

from iotportal.problems import CONTENT_TYPE, TITLES


class ProblemSerializer(serializers.Serializer[Any]):
    """Problem details (RFC 9457), the one shape of every error."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="For people.")
    code = serializers.CharField(help_text="For programs.")
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), help_text="Messages per field.")


ALWAYS = (400, 401, 403, 404, 405, 406, 413, 415, 429)
COMMAND_ERRORS = (402, 409, 502, 503, 504)  # of operations that talk to a device


def problems(*statuses: int) -> dict[int, OpenApiResponse]:
    """Return the responses of these statuses, for `extend_schema(responses=…)`."""
    return {status: OpenApiResponse(ProblemSerializer, description=TITLES[status]) for status in statuses}


class AutoSchema(SpectacularSchema):
    """Adds the errors that any operation can answer."""

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Any]:
        """Return what the view declares, and a problem for each of the common statuses."""
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status in ALWAYS:
            bodies.setdefault(str(status), self._get_response_for_code(ProblemSerializer, str(status), [CONTENT_TYPE], direction))
        for status, body in bodies.items():
            if int(status) >= 400 and "content" in body:
                body["content"] = {CONTENT_TYPE: next(iter(body["content"].values()))}
                body["description"] = body.get("description") or TITLES.get(int(status), "Error")
        return bodies
