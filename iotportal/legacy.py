"""The documented API that clients have used for years: what it takes and how it answers.

    {"status": "OK", "message": …, …}
    {"status": "NG", "message": …, "code": …}       with a matching 4xx or 5xx; `code` and `errors` are those of version 1

It is liberal where old clients differ and strict where being liberal would be guessing. A body is JSON whatever its
Content-Type says, and so is the answer whatever was asked for; unknown fields are ignored; old spellings of a field are taken.
But a field that is named twice, by two spellings or by one, must say one thing, and text is text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django.http import JsonResponse
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from iotportal.bodies import BoundedJSONParser, as_object, parse_json
from iotportal.problems import Problem, as_problem

PREFIXES = ("/api/user/", "/api/devices/")
NOT_TWO_WAYS = "This is given twice, and not the same."


def is_legacy(path: str) -> bool:
    """Say whether this is a path of the documented API, rather than of version 1."""
    return f"{path}/".startswith(PREFIXES)


def answer(message: str, /, **fields: object) -> Response:
    """Return a good answer."""
    return Response({"status": "OK", "message": message, **fields}, headers={"Cache-Control": "no-store"})


def refusal(problem: Problem) -> dict[str, object]:
    """Return the body of a refusal; its message is of the first field that is not right, if fields are what it is about."""
    message = problem.detail
    for name, sentences in problem.errors.items():
        message = f"{name}: {' '.join(sentences)}"
        break
    body: dict[str, object] = {"status": "NG", "message": message, "code": problem.code}
    return {**body, "errors": problem.errors} if problem.errors else body


def refuse(problem: Problem) -> JsonResponse:
    """Answer with a refusal where there is no view."""
    return JsonResponse(refusal(problem), status=problem.status)


class AnyTypeParser(BoundedJSONParser):
    """JSON, whatever the Content-Type says: small HTTP libraries, and curl with -d, say that they send a form."""

    media_type = "*/*"

    def load(self, body: bytes) -> object:
        """Return the body's JSON value. Raises Problem: 400, it is not JSON, or names a field twice."""
        return parse_json(body, _unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Problem(400, "parse_error", f"The body names {twice[:40]!r} twice.")
    return found


class OneOfEach(BaseContentNegotiation):
    """One parser, one renderer: nothing is to be negotiated."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        """Return the only one."""
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the only one."""
        only = next(iter(renderers))
        return only, str(only.media_type)


def one_of(body: Mapping[str, Any], *names: str) -> Any:
    """Return the value that the body gives under one of these spellings, None without any.

    Raises:
        Problem: 400, it gives two that differ.
    """
    given = [body[name] for name in names if name in body]
    if any(type(one) is not type(given[0]) or one != given[0] for one in given[1:]):
        raise Problem(400, "invalid", "Some fields are not right.", errors={names[0]: [NOT_TWO_WAYS]})
    return given[0] if given else None


class Body(serializers.Serializer[Any]):
    """What a path takes; `aliases` are the old spellings of its fields. Null is as good as not given."""

    aliases: ClassVar[dict[str, tuple[str, ...]]] = {}

    def to_internal_value(self, data: Any) -> Any:
        """Read every field by whatever spelling it has."""
        found = {str(name): one_of(data, str(name), *self.aliases.get(str(name), ())) for name in self.fields}
        return super().to_internal_value({name: value for name, value in found.items() if value is not None})


class LegacyView(APIView):
    """A path of the documented API."""

    parser_classes = (AnyTypeParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = OneOfEach
    http_method_names: Sequence[str] = ("get", "post", "put", "patch", "delete")

    def taken(self, request: Request, fields: type[Body]) -> dict[str, Any]:
        """Return the body's fields. Raises what `exception_handler` answers with 400."""
        form = fields(data=as_object(request.data))
        form.is_valid(raise_exception=True)
        found: dict[str, Any] = form.validated_data
        return found

    def get_exception_handler(self) -> Any:
        """Answer errors in this API's own shape."""
        return _exception_handler


def _exception_handler(exc: Exception, context: dict[str, Any]) -> Response:
    problem, headers = as_problem(exc, context)
    return Response(refusal(problem), status=problem.status, headers={"Cache-Control": "no-store", **headers})
