"""The description of the API, for programs and for people; the Swagger UI works offline and under our policy."""

from __future__ import annotations

from typing import Any

from csp.decorators import csp_update
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.headless import sign_in_schema
from iotportal.openapi import whole_schema
from iotportal.queries import StrictQuery
from messaging.api import legacy_urls


class SchemaView(StrictQuery):
    """The description of the API."""

    permission_classes = (AllowAny,)
    renderer_classes = (OpenApiYamlRenderer, OpenApiJsonRenderer)

    @extend_schema(
        operation_id="schema",
        summary="The OpenAPI description",
        tags=["about"],
        parameters=[OpenApiParameter("format", exclude=True)],  # DRF's own, everywhere
        responses={
            (200, "application/vnd.oai.openapi"): OpenApiTypes.OBJECT,
            (200, "application/vnd.oai.openapi+json"): OpenApiTypes.OBJECT,
        },
    )
    def get(self, request: Request) -> Response:
        """Return this description as OpenAPI 3: YAML, or JSON with `?format=json` or by the Accept header."""
        return Response(self.document())

    def document(self) -> dict[str, Any]:
        """Return the description."""
        return whole_schema()


class LegacySchemaView(SchemaView):
    """The description of the documented API, which is one of its own: other errors, other ways to sign in."""

    schema = None

    def document(self) -> dict[str, Any]:
        """Return the description."""
        return legacy_urls.schema()


# Swagger UI draws its icons from data: pictures in its style sheet; scripts and styles stay our own.
@method_decorator(csp_update({"img-src": ["data:"]}), name="dispatch")
@method_decorator(never_cache, name="dispatch")  # its script carries the CSRF token of this browser
class DocsView(SpectacularSwaggerSplitView):
    """The description to read and to try."""

    url_name = "api:schema"
    permission_classes = (AllowAny,)
    template_name = "rest_framework/swagger.html"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the page, or the script that draws it; without scripts there is the description as a file."""
        page: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
        page.data["schema_url"] = self._get_schema_url(request)
        return page

    def _get_schema_url(self, request: Request) -> str:
        """Return the address of the description; no parameter of the request goes into it."""
        address: str = super()._get_schema_url(request)  # type: ignore[no-untyped-call]  # drf-spectacular is half typed
        return f"{address.partition('?')[0]}?format=json"


class SignInSchemaView(StrictQuery):
    """The description of signing in."""

    permission_classes = (AllowAny,)
    renderer_classes = (OpenApiJsonRenderer,)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """Return the description of /api/auth/ as OpenAPI 3 in JSON."""
        return Response(sign_in_schema())


class SignInDocsView(DocsView):
    """The same to read and to try."""

    url_name = "headless:openapi_yaml"

    def _get_schema_url(self, request: Request) -> str:
        """Return the address of that description, which is JSON as it stands."""
        return reverse(self.url_name)


class LegacyDocsView(DocsView):
    """The same for the documented API."""

    url_name = "api:legacy-schema"
