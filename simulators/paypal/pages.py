"""The pages of this PayPal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from simulators.paypal.world import Sale

_AFTERWARDS = {
    "Completed": (("refund", "Refund"), ("refund-half", "Refund half"), ("reverse", "Charge back")),
    "Pending": (("clear", "Let the money come"), ("deny", "Deny")),
    "Reversed": (("reinstate", "Decide for the seller"),),
}
_HOW = {"": "is completed", "Pending": "is pending (eCheck)", "Denied": "is denied", "forged": "is forged, in five ways"}
_HOW_REST = {"": "is completed", "Pending": "is pending (eCheck)", "Denied": "is declined"}
_DELAYS = {"": "a few", "0": "0", "5": "5", "30": "30"}
_BACKS = {"": "names the payment (PDT)", "plain": "names nothing"}
_TIMES = {"1": "once", "2": "twice", "5": "five times"}


def _choice(name: str, choices: Mapping[str, str]) -> str:
    options = "".join(f'<option value="{value}">{says}</option>' for value, says in choices.items())
    return f'<select name="{name}">{options}</select>'


def approve(sale: Sale) -> bytes:
    """Ask the buyer."""
    what, whom = escape(sale.fields.get("item_name", "")), escape(sale.fields.get("business", ""))
    price = f"{escape(sale.currency)} {sale.amount}"
    return _page(
        "Approve the payment",
        f"""<h1>{price}</h1><p>{what}, to {whom}</p>
<form method="post" action="/sales/{sale.token}">
<p class="row"><button class="main" name="do" value="pay">Continue</button><button name="do" value="cancel">Cancel</button></p>
<details><summary>What PayPal does then</summary>{_then_rest() if sale.rest else _then()}</details></form>
<p class="hint">Nobody pays here: this PayPal runs on your machine, beside the portal. <a href="/">All its sales</a></p>""",
    )


def _then() -> str:
    """Return what can be chosen where notices tell the shop (Payments Standard)."""
    return f"""<label>The payment {_choice("how", _HOW)}</label>
<label>The notice comes after {_choice("delay", _DELAYS)} seconds</label>
<label>and {_choice("times", _TIMES)}</label>
<label>The way back {_choice("back", _BACKS)}</label>"""


def _then_rest() -> str:
    """Return what can be chosen where the shop asks for the money (Orders v2)."""
    return f"<label>The payment {_choice('how', _HOW_REST)}</label>"


def sales(all_of_them: Sequence[Sale]) -> bytes:
    """Show the sales, with what PayPal may do to them."""
    rows = "".join(map(_row, all_of_them)) or "<p>Nobody has bought anything yet.</p>"
    return _page("Sales", f"<h1>Sales</h1>{rows}")


def _row(sale: Sale) -> str:
    choices = [
        *_AFTERWARDS.get(sale.status, ()),
        *([("again", "Send all notices again")] if sale.notices else []),
        ("forge", "Forge"),
    ]
    buttons = "".join(f'<button name="do" value="{what}">{says}</button>' for what, says in choices)
    return (
        f"<section><h2>{escape(sale.currency)} {sale.amount} <small>{escape(sale.status or 'not approved')}</small></h2>"
        f"<p>{escape(sale.fields.get('item_name', ''))} · {sale.txn_id}</p>"
        f'<form method="post" action="/sales/{sale.token}" class="row">{buttons}</form></section>'
    )


def note(text: str) -> bytes:
    """Say something."""
    return _page(text, f"<h1>{escape(text)}</h1>")


def _page(title: str, content: str) -> bytes:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/paypal.css"></head><body><header>Sandbox PayPal'
        f"<small>on this machine</small></header><main>{content}</main></body></html>"
    ).encode()
