"""QR codes as the path of an SVG, which needs neither a data: address nor a style."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import qrcode

QUIET = 4  # modules of white around it, which readers need


@dataclass(frozen=True, slots=True)
class QrCode:
    """A square of `size` modules; `path` fills the dark ones."""

    size: int
    path: str


def draw(text: str) -> QrCode:
    """Return the QR code of `text`; up to 15 % of it may be unreadable."""
    code = qrcode.QRCode(border=QUIET, error_correction=qrcode.constants.ERROR_CORRECT_M)
    code.add_data(text)
    code.make()
    rows = code.get_matrix()
    return QrCode(len(rows), "".join(_row(y, row) for y, row in enumerate(rows)))


def _row(y: int, row: list[bool]) -> str:
    """Return the runs of dark modules of a row, each a box of its own."""
    path, x = "", 0
    for dark, run in groupby(row):
        length = len(list(run))
        if dark:
            path += f"M{x} {y}h{length}v1h-{length}z"
        x += length
    return path
