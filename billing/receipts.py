"""A receipt as PDF."""

from __future__ import annotations

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from billing import money
from billing.models import Order

_LINE, _WIDTH = 6.0, 170.0  # mm


def receipt_pdf(order: Order, *, issued: str) -> bytes:
    """Return the receipt of a paid order. `issued`: its date in words.

    Its letters are those of western Europe: a name in others has question marks here, and is whole on the page.
    """
    receipt = order.receipt
    pdf = FPDF(format="A4")
    pdf.set_margins(20, 20)
    pdf.set_title(f"Receipt {receipt.number}")
    pdf.add_page()
    _text(pdf, receipt.seller or "IoT Portal")
    pdf.ln(2 * _LINE)
    pdf.set_font("Helvetica", "B", 18)
    _cell(pdf, f"Receipt {receipt.number}", 12)
    pdf.ln(_LINE)
    for name, value in (("Date", issued), ("Order", order.pk.hex), ("To", receipt.buyer)):
        _pair(pdf, name, value)
    pdf.ln(_LINE)
    rows = [(f"{order.credits:,} credits", money.words(order.price_minor - order.tax_minor, order.currency))]
    if order.tax_basis_points:
        rate = f"{order.tax_name} {money.percent(order.tax_basis_points)}, {order.country}"
        rows.append((rate, money.words(order.tax_minor, order.currency)))
    for what, amount in rows:
        _amount(pdf, what, amount)
    pdf.line(20, pdf.get_y(), 20 + _WIDTH, pdf.get_y())
    _amount(pdf, "Total, paid via PayPal", order.price, bold=True)
    return bytes(pdf.output())


def _latin(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")


def _text(pdf: FPDF, text: str) -> None:
    pdf.set_font("Helvetica", "", 11)
    pdf.multi_cell(_WIDTH, _LINE, _latin(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _cell(pdf: FPDF, text: str, height: float) -> None:
    pdf.cell(_WIDTH, height, _latin(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _pair(pdf: FPDF, name: str, value: str) -> None:
    pdf.set_font("Helvetica", "", 11)
    pdf.cell(25, _LINE, name)
    pdf.multi_cell(_WIDTH - 25, _LINE, _latin(value), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _amount(pdf: FPDF, what: str, amount: str, *, bold: bool = False) -> None:
    pdf.set_font("Helvetica", "B" if bold else "", 11)
    pdf.cell(_WIDTH - 40, _LINE + 2, _latin(what))
    pdf.cell(40, _LINE + 2, amount, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
