"""Kinds of devices in the API: those that the portal ships, and one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Action, access_account
from accounts.api.authentication import user_of
from accounts.services import personal_account
from devices import selectors, services
from devices.access import Described, access_device, access_profile
from devices.api import profile_serializers as shapes
from devices.api.common import DEVICE_ID
from devices.models import OwnProfile
from devices.profile_check import WHOLE
from devices.profile_documents import blank
from iotportal.openapi import problems
from iotportal.pagination import page_body
from iotportal.problems import Problem, invalid
from iotportal.queries import StrictQuery

KEY = OpenApiParameter("slug", str, OpenApiParameter.PATH, description="For example standard; of one of your own its slug or id.")


@contextmanager
def _as_problems() -> Iterator[None]:
    """Say what the services refuse as the API says errors."""
    try:
        yield
    except services.InvalidProfile as error:
        raise invalid({_in_document(path): texts for path, texts in error.problems.items()}) from error
    except services.SlugTaken as error:
        raise Problem(409, "slug_taken", str(error), errors={"slug": [str(error)]}) from error
    except services.TooManyProfiles as error:
        raise Problem(409, "too_many_profiles", str(error)) from error
    except services.ProfileChanged as error:
        raise Problem(409, "profile_changed", str(error)) from error
    except services.ProfileInUse as error:
        raise Problem(409, "profile_in_use", str(error)) from error
    except services.ProfileGone as error:
        raise Problem(404, "not_found", "There is no such profile.") from error


def _in_document(path: str) -> str:
    return "document" if path == WHOLE else path if path in {"name", "slug"} else f"document.{path}"


def _shown(request: Request, own: OwnProfile, code: int = 200) -> Response:
    described = access_profile(user_of(request), own.hex)
    return Response(shapes.WholeProfileSerializer(described).data, status=code)


class ProfileListView(StrictQuery):
    """The kinds of devices there are."""

    name = "Profiles"

    def get_serializer(self, *args: Any, **kwargs: Any) -> serializers.BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return shapes.MakeProfileSerializer(*args, **kwargs)

    @extend_schema(
        operation_id="profiles_list",
        summary="List the kinds of devices",
        tags=["profiles"],
        responses={200: shapes.ProfilePageSerializer},
    )
    def get(self, request: Request) -> Response:
        """Return all profiles with their apis and the fields that each takes, your own first; there is one page."""
        found = selectors.profiles_for(user_of(request))
        return Response(page_body(request, shapes.ProfileSerializer(found, many=True).data))

    @extend_schema(
        operation_id="profiles_make",
        summary="Make a profile of your own",
        tags=["profiles"],
        request=shapes.MakeProfileSerializer,
        responses={201: shapes.WholeProfileSerializer, **problems(404, 409)},
    )
    def post(self, request: Request) -> Response:
        """Make a kind of device: from a copy, from a document, or with no apis at all yet."""
        form = shapes.MakeProfileSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given, user = form.validated_data, user_of(request)
        account = access_account(user, given["account"], Action.MANAGE) if "account" in given else personal_account(user)
        with _as_problems():
            own = services.make_profile(
                account=account, name=given["name"], slug=given.get("slug"), document=_beginning(request, given), by=user
            )
        return _shown(request, own, status.HTTP_201_CREATED)


def _beginning(request: Request, given: dict[str, Any]) -> dict[str, Any]:
    """Return the document that a new profile begins with."""
    if "copy_of" in given and "document" in given:
        raise invalid({"document": ["Either a copy or a document."]})
    if "copy_of" in given:
        return access_profile(user_of(request), given["copy_of"]).document
    document: dict[str, Any] = given.get("document", blank(given["name"], ""))
    return document


class ProfileView(StrictQuery):
    """One kind of device."""

    name = "Profile"

    def get_serializer(self, *args: Any, **kwargs: Any) -> serializers.BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return shapes.SaveProfileSerializer(*args, **kwargs)

    @extend_schema(
        operation_id="profiles_read",
        summary="Read a kind of device",
        tags=["profiles"],
        parameters=[KEY],
        responses={200: shapes.WholeProfileSerializer},
    )
    def get(self, request: Request, slug: str) -> Response:
        """Return the profile with its apis and the fields that each takes, and its document."""
        return Response(shapes.WholeProfileSerializer(access_profile(user_of(request), slug)).data)

    @extend_schema(
        operation_id="profiles_save",
        summary="Save a profile of your own",
        tags=["profiles"],
        parameters=[KEY],
        request=shapes.SaveProfileSerializer,
        responses={200: shapes.WholeProfileSerializer, **problems(409)},
    )
    def put(self, request: Request, slug: str) -> Response:
        """Save a new version; its devices are treated by it at once."""
        own = _own(access_profile(user_of(request), slug, Action.MANAGE))
        form = shapes.SaveProfileSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        with _as_problems():
            saved = services.save_profile(
                profile=own,
                document=form.validated_data["document"],
                by=user_of(request),
                based_on=form.validated_data.get("version"),
            )
        return _shown(request, saved)

    @extend_schema(
        operation_id="profiles_delete",
        summary="Delete a profile of your own",
        tags=["profiles"],
        parameters=[KEY],
        responses={204: OpenApiResponse(description="Deleted."), **problems(409)},
    )
    def delete(self, request: Request, slug: str) -> Response:
        """Delete a profile that no device has."""
        own = _own(access_profile(user_of(request), slug, Action.MANAGE))
        with _as_problems():
            services.delete_profile(profile=own)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _own(described: Described) -> OwnProfile:
    """Return the row of a profile that may be changed, which no shipped one may."""
    if described.own is None:
        raise Problem(403, "forbidden", "The portal ships this profile.")
    return described.own


class DeviceProfileView(StrictQuery):
    """What kind of device this is, as a document."""

    name = "Its profile"

    @extend_schema(
        operation_id="devices_profile",
        summary="Read a device's profile as a document",
        tags=["devices"],
        parameters=[DEVICE_ID],
        responses={200: OpenApiTypes.OBJECT},
    )
    def get(self, request: Request, device_id: str) -> Response:
        """Return what simulators and the conformance test read: the whole document, without anything around it."""
        device = access_device(user_of(request), device_id)
        return Response(selectors.document_of_device(device), headers={"Cache-Control": "no-store"})
