"""What the API's views of devices share."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter

from devices import services
from devices.downloads import Download
from iotportal.problems import Problem, invalid

DEVICE_ID = OpenApiParameter(
    "device_id", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, OpenApiParameter.PATH, description="32 hex digits."
)


def problem_of(error: Exception) -> Problem:
    """Say a registry error as the API says errors."""
    if isinstance(error, services.NameTaken):
        return Problem(409, "name_taken", str(error), errors={"name": [str(error)]})
    if isinstance(error, services.InvalidName):
        return invalid({"name": [str(error)]})
    if isinstance(error, services.UnknownProfile):
        return invalid({"profile": [str(error)]})
    if isinstance(error, services.CsrRefused):
        return invalid({"csr": [str(error)]})
    return Problem(404, "not_found", "No such device.")


def file_response(file: Download) -> HttpResponse:
    """Return a file that is saved and never cached."""
    headers = {"Content-Disposition": f'attachment; filename="{file.filename}"', "Cache-Control": "no-store"}
    return HttpResponse(file.content, content_type=file.content_type, headers=headers)
