"""What may stand in an address's query."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from iotportal.problems import invalid

FORMAT = api_settings.URL_FORMAT_OVERRIDE or "format"  # DRF's own, everywhere


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse parameters that nobody reads: a misspelt filter must not pass for "everything".

    Raises:
        Problem: 400, naming them.
    """
    unknown = set(given) - {*known, FORMAT}
    if unknown:
        raise invalid({name: ["There is no such parameter here."] for name in sorted(unknown)})


class StrictQuery(APIView):
    """A view that knows its parameters: `query` names those of all its methods."""

    query: ClassVar[tuple[str, ...]] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse other parameters once the caller is known."""
        super().initial(request, *args, **kwargs)
        refuse_unknown(request.query_params, self.query)
