"""The server of this PayPal: what a browser is shown, and what the portal asks.

    GET  /cgi-bin/webscr?cmd=_xclick&…   the page that asks the buyer
    POST /sales/TOKEN                    what the buyer, or who plays PayPal, decides
    /v1/…, /v2/…, /checkoutnow           Orders v2 (`rest`)
    POST /cgi-bin/webscr                 cmd=_notify-validate&…: VERIFIED or INVALID
                                         cmd=_notify-synch, tx, at: SUCCESS and what is known of a payment, or FAIL
    GET  /                               all sales, to play PayPal with

Only for 127.0.0.1: whoever can press Continue here makes credits.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from simulators.paypal import pages
from simulators.paypal.rest import Event, Rest
from simulators.paypal.world import IDENTITY_TOKEN, Sale, World, new_id

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_OWN_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_MAX_BODY = 64 * 1024
_VALIDATE = b"cmd=_notify-validate&"
_STYLES = Path(__file__).with_name("paypal.css").read_bytes()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets."""

    status: int
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    location: str = ""


@dataclass(frozen=True, slots=True)
class Manner:
    """How notices are sent, where the page does not say otherwise: after so many seconds, so many times, the last one first."""

    delay_s: float = 0.5
    times: int = 1
    backwards: bool = False


class PayPal:
    """This PayPal as an ASGI application. `portals` are the addresses of the one shop that it knows."""

    def __init__(self, world: World, portals: Sequence[str], manner: Manner, *, url: str = "", pdt: bool = True) -> None:
        self._world = world
        self._pdt = pdt
        self.rest = Rest(world, url)
        self._portals = [one.rstrip("/") for one in portals]
        self._sites = [one for one in self._portals if "[" not in one]  # a policy cannot name an address of IPv6
        self._manner = manner
        self._sending: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        answer = self._answer(scope, await _body(receive))
        policy = f"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self' {' '.join(self._sites)}"
        headers = {
            "content-type": answer.content_type,
            "content-length": str(len(answer.body)),
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
        }
        if answer.location:
            headers["location"] = answer.location
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    def _answer(self, scope: Scope, body: bytes) -> Answer:
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if re.sub(r":\d+$", "", host).lower() not in _OWN_NAMES:
            return Answer(403, pages.note("This PayPal is only for this machine."))
        path, writes = scope["path"], scope["method"] == "POST"
        if path == "/cgi-bin/webscr":
            return self._webscr(scope, body, writes)
        if path.startswith(("/v1/", "/v2/")):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            status, said = self.rest.answer(path, headers, body)
            self._tell_news()
            return Answer(status, json.dumps(said).encode(), "application/json")
        if path == "/checkoutnow":
            sale = self.rest.sale(_form(scope["query_string"]).get("token", ""))
            return Answer(200, pages.approve(sale)) if sale else Answer(404, pages.note("There is no such order."))
        if path == "/paypal.css":
            return Answer(200, _STYLES, "text/css; charset=utf-8")
        if path == "/":
            return Answer(200, pages.sales(list(self._world.sales.values())[::-1]))
        sale = self._world.sales.get(path.removeprefix("/sales/"))
        if sale is None or not writes:
            return Answer(404, pages.note("There is no such sale."))
        return self._decided(sale, _form(body))

    def _webscr(self, scope: Scope, body: bytes, writes: bool) -> Answer:
        if writes and body.startswith(_VALIDATE):
            known = self._world.is_ours(body.removeprefix(_VALIDATE))
            return Answer(200, b"VERIFIED" if known else b"INVALID", "text/plain")
        fields = _form(body if writes else scope["query_string"])
        if writes and fields.get("cmd") == "_notify-synch":
            allowed = self._pdt and fields.get("at") == IDENTITY_TOKEN
            return Answer(200, self._world.details(fields.get("tx", "")) if allowed else b"FAIL\nError: 4002", "text/plain")
        if fields.get("cmd") != "_xclick" or not fields.get("business") or not _is_amount(fields.get("amount", "")):
            return Answer(400, pages.note("The button is not one of PayPal's."))
        ways = [fields.get(name, "") for name in ("return", "cancel_return", "notify_url")]
        if not all(one.startswith(tuple(f"{portal}/" for portal in self._portals)) for one in ways):
            return Answer(400, pages.note(f"This PayPal knows one shop: {self._portals[0]}"))
        return Answer(200, pages.approve(self._world.begin(fields)))

    # --- decisions ---------------------------------------------------------------------------------------------------------

    def _decided(self, sale: Sale, form: dict[str, str]) -> Answer:
        """Do what a button of one of the pages says."""
        what = form.get("do", "")
        if what == "cancel":
            return Answer(303, location=sale.fields["cancel_return"])
        if sale.rest:
            return self._decided_rest(sale, what, form.get("how", ""))
        if what == "pay":
            if not sale.status:
                manner = Manner(
                    delay_s=min(60.0, float(form["delay"])) if _is_amount(form.get("delay", "")) else self._manner.delay_s,
                    times=int(form["times"]) if form.get("times") in {"1", "2", "5"} else self._manner.times,
                    backwards=self._manner.backwards,
                )
                self._send(sale, self._notices(sale, form.get("how", "")), manner)
            return Answer(303, location=self._way_back(sale, form))
        bodies = self._afterwards(sale, what)
        if bodies is None:
            return Answer(400, pages.note("That cannot be done with this sale."))
        self._send(sale, bodies, Manner(delay_s=0))
        return Answer(303, location="/")

    def _way_back(self, sale: Sale, form: dict[str, str]) -> str:
        """Return where a buyer goes from here: with PDT the address names the payment."""
        back = sale.fields["return"]
        if not self._pdt or form.get("back") == "plain" or sale.status not in {"Completed", "Pending"}:
            return back
        names = {"tx": sale.txn_id, "st": sale.status, "amt": str(sale.amount), "cc": sale.currency}
        custom, number = sale.fields.get("custom", ""), sale.fields.get("item_number", "")
        return f"{back}{'&' if '?' in back else '?'}{urlencode({**names, 'cm': custom, 'item_number': number})}"

    def _decided_rest(self, sale: Sale, what: str, how: str) -> Answer:
        """Do what a button says to a sale of Orders v2; the capture comes from the portal."""
        if what == "pay":
            if sale.status in {"", "Approved", "Declined"}:
                sale.status, sale.how = "Declined" if how == "Denied" else "Approved", how
            return Answer(303, location=f"{sale.fields['return']}?token={sale.rest}")
        if not self.rest.decide(sale, what):
            return Answer(400, pages.note("That cannot be done with this sale."))
        self._tell_news()
        return Answer(303, location="/")

    def _tell_news(self) -> None:
        """Send the webhooks that there are now."""
        news = self.rest.news()
        if news:
            self._spawn(self._send_webhooks(news))

    async def _send_webhooks(self, events: Sequence[Event]) -> None:
        url = f"{self._portals[0]}/payments/paypal/webhook/"
        for event in events:
            await self._persist(url, event.body, event.headers)

    def _notices(self, sale: Sale, how: str) -> list[bytes]:
        """Return what PayPal says of a payment."""
        if how in {"Pending", "Denied"}:
            return [self._world.payment(sale, how)]
        if how == "forged":
            return forgeries(self._world, sale)
        if self._manner.backwards:
            return [self._world.payment(sale, "Completed"), self._world.payment(sale, "Pending")]
        return [self._world.payment(sale)]

    def _afterwards(self, sale: Sale, what: str) -> list[bytes] | None:
        """Return what PayPal says later, or None if that cannot be."""
        world = self._world
        match what, sale.status:
            case "clear", "Pending":
                return [world.payment(sale)]
            case "deny", "Pending":
                return [world.payment(sale, "Denied")]
            case "refund", "Completed":
                return [world.refund(sale)]
            case "refund-half", "Completed":
                return [world.refund(sale, (sale.amount / 2).quantize(Decimal("0.01")))]
            case "reverse", "Completed":
                return [world.reversal(sale)]
            case "reinstate", "Reversed":
                return [world.reinstatement(sale)]
            case "again", _ if sale.notices:
                return [*sale.notices]
            case "forge", _:
                return forgeries(world, sale)
        return None

    def _send(self, sale: Sale, bodies: list[bytes], manner: Manner) -> None:
        self._spawn(self._deliver(sale.fields["notify_url"], bodies, manner))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, url: str, bodies: list[bytes], manner: Manner) -> None:
        """Send notices in order, a time after the buyer's decision."""
        await asyncio.sleep(manner.delay_s)
        for body in bodies * manner.times:
            await self._persist(url, body)

    async def _persist(self, url: str, body: bytes, signed: Mapping[str, str] | None = None) -> None:
        """Send a notice; one that is not taken is sent again, as PayPal does, if not for days."""
        for wait_s in (0.5, 1, 2, 4, 8, 16, 0):
            status = await asyncio.to_thread(post, url, body, signed)
            if 200 <= status < 300:
                break
            await asyncio.sleep(wait_s)


def forgeries(world: World, sale: Sale) -> list[bytes]:
    """Return notices that claim a payment which must bring nothing: what PayPal never sent, and what it says of other money."""
    kept = sale.status, list(sale.notices)
    bodies = [
        world.payment(sale) + b"&forged=1",  # not as it was sent
        world.payment(sale, receiver_email="mallory@example.com", receiver_id="MALLORY"),
        world.payment(sale, mc_gross="0.01", txn_id=new_id()),
        world.payment(sale, mc_currency="HUF", txn_id=new_id()),
        world.payment(sale, custom="0" * 32, txn_id=new_id()),
    ]
    sale.status, sale.notices = kept
    return bodies


def post(url: str, body: bytes, signed: Mapping[str, str] | None = None) -> int:
    """Send an IPN, or with the headers of its signature a webhook; returns the status of the answer, 0 for none."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "PayPal IPN ( https://www.paypal.com/ipn )"}
    if signed is not None:
        headers = {"Content-Type": "application/json", "User-Agent": "PayPal/AUHD-214.0", **signed}
    try:
        status = requests.post(url, data=body, headers=headers, timeout=30, allow_redirects=False).status_code
    except requests.RequestException as error:
        logger.warning("%s: %s", urlsplit(url).path, error)
        return 0
    logger.info("%s: %d", urlsplit(url).path, status)
    return status


def _is_amount(text: str) -> bool:
    return re.fullmatch(r"\d{1,7}(\.\d{1,2})?", text, re.ASCII) is not None


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))


async def _body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body") or len(body) > _MAX_BODY:
            return bytes(body[:_MAX_BODY])
