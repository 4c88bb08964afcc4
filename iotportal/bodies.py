"""The body of an API request: one reader for the raw handler and for DRF, so that both refuse the same."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

from django.http.request import RawPostDataException
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.request import Request

from iotportal.problems import Problem

MAX_BODY_BYTES = 64 * 1024


def too_large() -> Problem:
    """Return the answer to a body that is too large."""
    return Problem(413, "too_large", f"The body may have {MAX_BODY_BYTES // 1024} KiB.")


def parse_json(body: bytes, pairs: Callable[[list[tuple[str, Any]]], object] | None = None) -> object:
    """Return the JSON value of a body; an empty body is an empty object. `pairs` makes an object of names and values.

    Raises:
        Problem: 400, it is not JSON in UTF-8.
    """
    try:
        decoder = _decoder if pairs is None else json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=pairs)
        return decoder.decode(body.removeprefix(BOM_UTF8).decode()) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Problem(400, "parse_error", "The body is not valid JSON.") from None


def parse_object(body: bytes) -> Mapping[str, object]:
    """Return the JSON object of a body.

    Raises:
        Problem: 400, it is not a JSON object.
    """
    return as_object(parse_json(body))


def as_object(value: object) -> dict[str, object]:
    """Return `value` if it is a JSON object.

    Raises:
        Problem: 400, it is not.
    """
    if not isinstance(value, dict):
        raise Problem(400, "parse_error", "The body must be a JSON object.")
    return value


def _refuse(name: str) -> None:
    raise ValueError(name)


_decoder = json.JSONDecoder(parse_constant=_refuse)


class BoundedJSONParser(JSONParser):
    """JSON of at most MAX_BODY_BYTES."""

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """Read and parse the body.

        Raises:
            Problem: 400 or 413.
        """
        try:
            body = stream.read(MAX_BODY_BYTES + 1)
        except RawPostDataException as error:  # the client hung up in the middle, or something had read it before
            raise Problem(400, "parse_error", "The body could not be read.") from error
        if len(body) > MAX_BODY_BYTES:
            raise too_large()
        return self.load(body)

    def load(self, body: bytes) -> object:
        """Return the body's JSON value."""
        return parse_json(body)


class Negotiation(DefaultContentNegotiation):
    """A body that does not say what it is, is taken for JSON."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser of the request's type."""
        return super().select_parser(request, parsers) if request.content_type else next(iter(parsers))
