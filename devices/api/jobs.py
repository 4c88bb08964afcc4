"""Registering many devices in the API."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from accounts.access import Action, access_account
from accounts.api.authentication import user_of
from accounts.models import User
from accounts.services import personal_account
from devices import job_files, services
from devices.access import access_job
from devices.api import job_serializers as shapes
from devices.api.common import file_response
from devices.downloads import KeyUnavailable
from devices.models import DeviceJob
from devices.wanted import LinesRefused, ListRefused, Wanted, numbered
from iotportal.openapi import problems
from iotportal.pagination import PAGE_PARAMETERS, PAGE_QUERY
from iotportal.problems import Problem, invalid
from iotportal.queries import StrictQuery

JOB_ID = OpenApiParameter(
    "job_id", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, OpenApiParameter.PATH, description="32 hex digits."
)


def _jobs(user: User) -> QuerySet[DeviceJob]:
    """Return the jobs that `user` may see, with how far each is."""
    made, failed = Count("lines", filter=~Q(lines__device=None)), Count("lines", filter=~Q(lines__error=""))
    mine = DeviceJob.objects.filter(account_id__in=user.memberships.values("account_id"))
    return mine.annotate(total=Count("lines"), registered=made, failed=failed)


class JobListView(StrictQuery, GenericAPIView[DeviceJob]):
    """Registrations of many devices."""

    name = "Device jobs"
    query = PAGE_QUERY
    serializer_class: type[BaseSerializer[Any]] = shapes.JobSerializer

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """Return what begins a job, or what the list shows."""
        return shapes.BeginJobSerializer if self.request.method == "POST" else self.serializer_class

    @extend_schema(
        operation_id="device_jobs_list",
        summary="List the registrations of many devices",
        tags=["devices"],
        parameters=[*PAGE_PARAMETERS],
        responses={200: shapes.JobPageSerializer},
    )
    def get(self, request: Request) -> Response:
        """Return one page, the oldest first; those that ended more than seven days ago are forgotten."""
        page = self.paginate_queryset(_jobs(user_of(request)))
        return self.get_paginated_response(shapes.JobSerializer(page, many=True).data)

    @extend_schema(
        operation_id="device_jobs_begin",
        summary="Register many devices",
        tags=["devices"],
        request=shapes.BeginJobSerializer,
        responses={202: shapes.JobWithLinesSerializer, **problems(404, 409)},
    )
    def post(self, request: Request) -> Response:
        """Check every line, then begin to register up to 1,000 devices. A bad line refuses all: `errors` names each."""
        form = shapes.BeginJobSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        user, given = user_of(request), form.validated_data
        account = access_account(user, given["account"], Action.MANAGE) if "account" in given else personal_account(user)
        by_name = "devices" in given
        try:
            job = services.begin_job(account=account, wanted=_wanted(given), by=user)
        except LinesRefused as error:
            raise invalid(_named(error, by_name=by_name)) from error
        except ListRefused as error:
            raise invalid({"devices" if by_name else "pattern": [str(error)]}) from error
        except services.JobUnderWay as error:
            raise Problem(409, "job_under_way", str(error)) from error
        return Response(_shown(user, job), status=status.HTTP_202_ACCEPTED)


def _wanted(given: dict[str, Any]) -> list[Wanted]:
    if "devices" not in given:
        return numbered(given["pattern"], given["count"], given["first"], given["profile"])
    named = enumerate(given["devices"], 1)
    return [Wanted(number, one["name"], one.get("profile", given["profile"])) for number, one in named]


def _named(error: LinesRefused, *, by_name: bool) -> dict[str, list[str]]:
    """Return the messages by the field that they are about."""
    named: dict[str, list[str]] = {}
    for one in error.problems:
        field = f"devices.{one.number - 1}" if by_name else {"name": "pattern"}.get(one.field, one.field)
        texts = named.setdefault(field, [])
        if one.text not in texts:  # a profile that there is not is every line's
            texts.append(one.text)
    return named


def _shown(user: User, job: DeviceJob) -> dict[str, Any]:
    found = _jobs(user).get(pk=job.pk)
    return dict(shapes.JobWithLinesSerializer(found).data)


class JobView(StrictQuery):
    """One registration of many devices."""

    name = "Device job"

    @extend_schema(
        operation_id="device_jobs_read",
        summary="Read how far a registration of many devices is",
        tags=["devices"],
        parameters=[JOB_ID],
        responses={200: shapes.JobWithLinesSerializer},
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Return the job with what became of each line."""
        user = user_of(request)
        return Response(_shown(user, access_job(user, job_id)))

    @extend_schema(
        operation_id="device_jobs_cancel",
        summary="Cancel a registration of many devices",
        tags=["devices"],
        parameters=[JOB_ID],
        responses={204: OpenApiResponse(description="It is over. The devices that were registered until then stay.")},
    )
    def delete(self, request: Request, job_id: str) -> Response:
        """End the job; twice is once, and one that is over stays as it is."""
        services.cancel_job(job=access_job(user_of(request), job_id, Action.MANAGE))
        return Response(status=status.HTTP_204_NO_CONTENT)


class JobArchiveView(StrictQuery, GenericAPIView[DeviceJob]):
    """The devices' files in one encrypted file."""

    name = "Archive"
    required_action = Action.MANAGE
    serializer_class: type[BaseSerializer[Any]] = shapes.ArchivePasswordSerializer

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """A file is what it is; only an error can be shown in another way."""
        return APIView.perform_content_negotiation(self, request, force=True)

    @extend_schema(
        operation_id="device_jobs_archive",
        summary="Download the files of a job's devices in one encrypted file",
        tags=["devices"],
        parameters=[JOB_ID],
        request=shapes.ArchivePasswordSerializer,
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, **problems(409)},
    )
    def post(self, request: Request, job_id: str) -> HttpResponse:
        """Return what `openssl enc -d -aes-256-cbc -md sha256 -pbkdf2 -iter 600000` opens with the password that you choose."""
        job = access_job(user_of(request), job_id, Action.MANAGE)
        form = shapes.ArchivePasswordSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            return file_response(job_files.archive(job, form.validated_data["password"]))
        except job_files.TooEarly as error:
            raise Problem(409, "job_under_way", str(error)) from error
        except KeyUnavailable as error:
            raise Problem(409, "key_unavailable", str(error)) from error
