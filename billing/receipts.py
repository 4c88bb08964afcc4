"""A receipt as PDF."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from billing import money
from billing.models import Order

# Of each font that they make they tell every letter: of people's names.
logging.getLogger("fontTools").setLevel(logging.ERROR)
logging.getLogger("fpdf").setLevel(logging.ERROR)

_LINE, _WIDTH = 6.0, 170.0  # mm
_FONT = Path(__file__).with_name("fonts") / "DejaVuSans.ttf"


def receipt_pdf(order: Order, *, issued: str) -> bytes:
    """Return the receipt of a paid order. `issued`: its date in words.

    A name that Helvetica, which all readers have, cannot write is set in DejaVu Sans, of which the used letters go along:
    Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew. One in still others has empty boxes here, and is whole on the page.
    """
    receipt = order.receipt
    pdf = FPDF(format="A4")
    pdf.set_margins(20, 20)
    pdf.set_title(f"Receipt {receipt.number}")
    pdf.add_page()
    if any(_latin(text) != text for text in (receipt.seller, receipt.buyer, order.tax_name)):
        pdf.add_font("DejaVu", "", _FONT)
        pdf.add_font("DejaVu", "B", _FONT)
        pdf.set_font("DejaVu")
    _text(pdf, receipt.seller or "IoT Portal")
    pdf.ln(2 * _LINE)
    _font(pdf, "B", 18)
    _cell(pdf, f"Receipt {receipt.number}", 12)
    pdf.ln(_LINE)
    for name, value in (("Date", issued), ("Order", order.pk.hex), ("To", receipt.buyer)):
        _pair(pdf, name, value)
    pdf.ln(_LINE)
    rows = [(f"{order.credits:,} credits", money.words(order.price_minor - order.tax_minor, order.currency))]
    if order.tax_basis_points:
        rate = f"{order.tax_name} {money.percent(order.tax_basis_points)}, {order.country}"
        rows.append((rate, money.words(order.tax_minor, order.currency)))
    if order.bonus_credits:
        rows.append((f"{order.bonus_credits:,} credits more, by a promo code", money.words(0, order.currency)))
    for what, amount in rows:
        _amount(pdf, what, amount)
    pdf.line(20, pdf.get_y(), 20 + _WIDTH, pdf.get_y())
    _amount(pdf, "Total, paid via PayPal", order.price, bold=True)
    return bytes(pdf.output())


def _latin(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")


def _font(pdf: FPDF, style: Literal["", "B"], size: int) -> None:
    """Go on in the receipt's font."""
    pdf.set_font(pdf.font_family or "Helvetica", style, size)


def _text(pdf: FPDF, text: str) -> None:
    _font(pdf, "", 11)
    pdf.multi_cell(_WIDTH, _LINE, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _cell(pdf: FPDF, text: str, height: float) -> None:
    pdf.cell(_WIDTH, height, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _pair(pdf: FPDF, name: str, value: str) -> None:
    _font(pdf, "", 11)
    pdf.cell(25, _LINE, name)
    pdf.multi_cell(_WIDTH - 25, _LINE, value, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _amount(pdf: FPDF, what: str, amount: str, *, bold: bool = False) -> None:
    _font(pdf, "B" if bold else "", 11)
    pdf.cell(_WIDTH - 40, _LINE + 2, what)
    pdf.cell(40, _LINE + 2, amount, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
