"""Tables as text, for files that people open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

_FORMULA = (*"=+-@\t\r\n", *"＝＋－＠")


def csv_safe(text: str) -> str:
    """Keep a spreadsheet from taking a cell for a formula (OWASP, "CSV injection"); some take wide signs as well."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_lines(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV (RFC 4180); cells of text are made safe."""
    out = io.StringIO()
    csv.writer(out).writerows([csv_safe(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return out.getvalue()
