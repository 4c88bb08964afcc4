"""Takes every mail, SMS and push the portal sends and shows it on a page, so that nothing leaves the desk.

    python -m iotportal.embedded.mailcatcher [--smtp-port 1025] [--page-port 8025] [--keep 500] [--push-key FILE]

Pages: `/` (newest first) and `/messages/ID`. JSON: `/messages.json` (`?to=ADDRESS` filters) and `/messages/ID.json`; the mail
as it came is `/messages/ID.eml`. Kept in memory, bounded in number and bytes. Only for 127.0.0.1: whoever can open the page
can read everybody's codes, which is also why a request must name this machine as its host (a web site of somebody else that
resolves its own name to 127.0.0.1 cannot).
"""

import argparse
import asyncio
import itertools
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session

from iotportal.embedded import pushcatcher, smscatcher

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HOST = "127.0.0.1"
_MAX_MAIL_BYTES = 5 * 1024 * 1024
_MAX_KEPT_BYTES = 64 * 1024 * 1024
_REFRESH_S = 5
_OWN_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_STYLES = Path(__file__).with_name("mailcatcher.css").read_bytes()
_LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")
_HTML_TAG = re.compile(r"<(style|script)\b.*?</\1>|<[^>]+>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mail:
    """One caught mail. `recipients` are those of the SMTP envelope, so a hidden copy shows too."""

    id: int
    received: datetime
    sender: str
    recipients: tuple[str, ...]
    raw: bytes = field(repr=False)

    @property
    def parsed(self) -> EmailMessage:
        """The mail's parts; parsed when looked at, because most never are."""
        return message_from_bytes(self.raw, policy=policy.default)

    def summary(self) -> dict[str, object]:
        """Return what a list shows."""
        return {
            "id": self.id,
            "received": self.received.isoformat(),
            "from": self.sender,
            "to": list(self.recipients),
            "subject": _header(self.parsed, "Subject"),
        }

    def full(self) -> dict[str, object]:
        """Return everything but the bytes of attachments."""
        parsed = self.parsed
        names = [part.get_filename() or part.get_content_type() for part in parsed.iter_attachments()]
        return self.summary() | {
            "headers": [[name, _header_text(value)] for name, value in parsed.items()],
            "text": _body(parsed, "plain"),
            "html": _body(parsed, "html"),
            "attachments": names,
        }


class Mailbox:
    """The newest mails, bounded in number and bytes."""

    def __init__(self, keep: int = 500) -> None:
        self._keep = keep
        self._numbers = itertools.count(1)
        self._mails: dict[int, Mail] = {}
        self._bytes = 0

    def add(self, sender: str, recipients: list[str], raw: bytes) -> Mail:
        """Keep a mail; the oldest give way to it."""
        mail = Mail(next(self._numbers), datetime.now(UTC), sender, tuple(recipients), raw)
        self._mails[mail.id] = mail
        self._bytes += len(raw)
        while len(self._mails) > self._keep or self._bytes > _MAX_KEPT_BYTES:
            oldest = self._mails.pop(next(iter(self._mails)))
            self._bytes -= len(oldest.raw)
        return mail

    def get(self, number: int) -> Mail | None:
        """Return one mail, or None."""
        return self._mails.get(number)

    def newest_first(self, to: str | None = None) -> list[Mail]:
        """Return the mails, only those to one address if it is given."""
        mails = reversed(self._mails.values())
        return [mail for mail in mails if to is None or to.casefold() in map(str.casefold, mail.recipients)]


class Catcher:
    """aiosmtpd's handler: whatever comes is for us."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002 - aiosmtpd's name
        """Keep the mail."""
        content = envelope.content or b""
        raw = content.encode() if isinstance(content, str) else content
        mail = self._mailbox.add(envelope.mail_from or "", list(envelope.rcpt_tos), raw)
        logger.info("mail %d: %d bytes to %d recipients", mail.id, len(raw), len(mail.recipients))
        return f"250 OK kept as {mail.id}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets."""

    status: int
    content_type: str
    body: bytes


class Pages:
    """The pages and their JSON, as an ASGI application."""

    def __init__(self, mailbox: Mailbox, browser: pushcatcher.PushBrowser) -> None:
        self._mailbox, self._browser = mailbox, browser

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        answer = await self._take(scope, receive) if scope["method"] == "POST" else self._answer(scope)
        headers = {
            "content-type": answer.content_type,
            "content-length": str(len(answer.body)),
            "content-security-policy": _POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
        }
        if answer.status == 405:
            headers["allow"] = "GET, HEAD"
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _take(self, scope: Scope, receive: Receive) -> Answer:
        """Take what is posted: an SMS, or a push."""
        takes = next((take for path, take in self._takers.items() if path.fullmatch(scope["path"])), None)
        if takes is None or not _is_for_us(scope):
            return self._answer(scope)
        body, more = b"", True
        while more and len(body) <= smscatcher.MAX_BYTES:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        return takes(self, scope, body)

    def _take_push(self, scope: Scope, body: bytes) -> Answer:
        """Take a push as a push service would, and read it as a browser would."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            said = self._browser.read(headers, body, f"http://{headers.get('host', '')}")
        except pushcatcher.Refused as error:
            return Answer(error.status, "text/plain; charset=utf-8", str(error).encode())
        self._mailbox.add("push", [f"push:{scope['path'][-8:]}"], pushcatcher.as_mail(said))
        return Answer(201, "text/plain; charset=utf-8", b"")

    def _take_sms(self, _scope: Scope, body: bytes) -> Answer:
        """Take an SMS as Twilio would."""
        form = smscatcher.read(body) if len(body) <= smscatcher.MAX_BYTES else {}
        if not form:
            return Answer(400, "application/json", b'{"code": 21602, "message": "To, From and Body are needed.", "status": 400}')
        mail = self._mailbox.add(form["From"], [form["To"]], smscatcher.as_mail(form))
        sid, loop = f"SM{mail.id:032x}", asyncio.get_running_loop()
        loop.call_later(smscatcher.RECEIPT_AFTER_S, loop.run_in_executor, None, smscatcher.tell_delivered, form, sid)
        return Answer(201, "application/json", json.dumps({"sid": sid, "status": "queued"}).encode())

    _takers: ClassVar = {pushcatcher.PATH: _take_push, smscatcher.PATH: _take_sms}

    def _answer(self, scope: Scope) -> Answer:
        if not _is_for_us(scope):
            return _note(403, "This page is only for this machine. Open it as http://127.0.0.1.")
        if scope["method"] not in ("GET", "HEAD"):
            return _note(405, "This page can only be read.")
        path = scope["path"]
        if path == "/":
            return _html(200, "Caught mail", _list_page(self._mailbox.newest_first()), refresh=True)
        if path == "/mailcatcher.css":
            return Answer(200, "text/css; charset=utf-8", _STYLES)
        if path == pushcatcher.KEYS_PATH:
            return _json(self._browser.keys())
        if path == "/messages.json":
            to = parse_qs(scope["query_string"].decode("latin-1")).get("to", [None])[0]
            return _json([mail.summary() for mail in self._mailbox.newest_first(to)])
        return self._one(path)

    def _one(self, path: str) -> Answer:
        match = re.fullmatch(r"/messages/(\d{1,12})(\.json|\.eml)?", path, re.ASCII)
        mail = self._mailbox.get(int(match[1])) if match else None
        if match is None or mail is None:
            return _note(404, "There is no such mail (any more).")
        if match[2] == ".json":
            return _json(mail.full())
        if match[2] == ".eml":
            return Answer(200, "message/rfc822", mail.raw)
        return _html(200, _header(mail.parsed, "Subject") or "(no subject)", _mail_page(mail))


def _is_for_us(scope: Scope) -> bool:
    """Say whether a request names this machine as its host."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return re.sub(r":\d+$", "", host).lower() in _OWN_NAMES


def _header(message: EmailMessage, name: str) -> str:
    return _header_text(message.get(name, ""))


def _header_text(value: object) -> str:
    """Return a header's text; what cannot be decoded is replaced, a page must not fail over a broken mail."""
    return str(value).encode(errors="replace").decode()


def _body(message: EmailMessage, kind: str) -> str | None:
    try:
        part = message.get_body((kind,))
        return None if part is None else str(part.get_content()).encode(errors="replace").decode()
    except (KeyError, LookupError, ValueError, AttributeError):  # an unknown charset, or parts that are none
        return message.as_bytes().decode(errors="replace") if kind == "plain" else None


def _list_page(mails: list[Mail]) -> str:
    if not mails:
        return '<h1>Caught mail</h1><p class="panel empty">Nothing yet. Whatever the portal sends shows up here by itself.</p>'
    return f'<h1>Caught mail</h1><ul class="panel list">{"".join(map(_row, mails))}</ul>'


def _row(mail: Mail) -> str:
    subject = _header(mail.parsed, "Subject") or "(no subject)"
    return (
        f'<li><a href="/messages/{mail.id}"><strong>{escape(subject)}</strong>{_time(mail)}'
        f"<span>to {escape(', '.join(mail.recipients))}</span></a></li>"
    )


def _mail_page(mail: Mail) -> str:
    full = mail.full()
    text = full["text"]
    if text is None and full["html"] is not None:
        text = re.sub(r"\n\s*\n+", "\n\n", _HTML_TAG.sub("", str(full["html"]))).strip()
    attachments = full["attachments"]
    rows = [("From", escape(mail.sender)), ("To", escape(", ".join(mail.recipients))), ("Received", _time(mail))]
    if isinstance(attachments, list) and attachments:
        rows.append(("Attached", escape(", ".join(map(str, attachments)))))
    return (
        '<nav><a href="/">All mail</a></nav>'
        f"<h1>{escape(str(full['subject']) or '(no subject)')}</h1>"
        f'<article class="panel"><dl>{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)}</dl>'
        f"<pre>{''.join(_linked(str(text or '')))}</pre></article>"
        f'<p class="hint">As it came: <a href="/messages/{mail.id}.eml">{mail.id}.eml</a>, '
        f'<a href="/messages/{mail.id}.json">{mail.id}.json</a></p>'
    )


def _linked(text: str) -> Iterator[str]:
    """Yield the text escaped, with its links to click."""
    end = 0
    for match in _LINK.finditer(text):
        address = escape(match[0])
        yield escape(text[end : match.start()])
        yield f'<a href="{address}" rel="noreferrer">{address}</a>'
        end = match.end()
    yield escape(text[end:])


def _time(mail: Mail) -> str:
    return f'<time datetime="{mail.received.isoformat()}">{mail.received.astimezone():%H:%M:%S, %d %b}</time>'


def _html(status: int, title: str, content: str, *, refresh: bool = False) -> Answer:
    again = f'<meta http-equiv="refresh" content="{_REFRESH_S}">' if refresh else ""
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'{again}<title>{escape(title)}</title><link rel="stylesheet" href="/mailcatcher.css"></head><body>'
        '<header><div><a href="/">Mail catcher</a><p>What this portal sends stays on this machine.</p></div></header>'
        f"<main>{content}</main></body></html>"
    )
    return Answer(status, "text/html; charset=utf-8", page.encode())


def _note(status: int, text: str) -> Answer:
    return _html(status, text, f"<h1>{escape(text)}</h1>")


def _json(value: object) -> Answer:
    return Answer(200, "application/json", json.dumps(value).encode())


async def serve(pages: Pages, mailbox: Mailbox, smtp_port: int, page_port: int) -> None:
    """Run both servers until SIGTERM or SIGINT, which uvicorn takes."""
    handler = Catcher(mailbox)
    smtp = await asyncio.get_running_loop().create_server(
        lambda: SMTP(
            handler, data_size_limit=_MAX_MAIL_BYTES, enable_SMTPUTF8=True, hostname="mailcatcher", ident="mail catcher"
        ),
        _HOST,
        smtp_port,
    )
    config = uvicorn.Config(pages, host=_HOST, port=page_port, access_log=False, lifespan="off", log_level="warning")
    async with smtp:
        logger.info("mail to port %d, pages on port %d", smtp_port, page_port)
        await uvicorn.Server(config).serve()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="Catch the portal's mail and show it.")
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--page-port", type=int, default=8025)
    parser.add_argument("--keep", type=int, default=500, help="how many mails to keep")
    parser.add_argument("--push-key", type=Path, help="a file that keeps the keys of the browser that is pushed to")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd writes every command down, addresses included
    mailbox = Mailbox(options.keep)
    pages = Pages(mailbox, pushcatcher.PushBrowser(options.push_key))
    asyncio.run(serve(pages, mailbox, options.smtp_port, options.page_port))


if __name__ == "__main__":
    main()
