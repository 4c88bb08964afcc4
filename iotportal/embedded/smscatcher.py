"""Speaks as much of Twilio's HTTP API as an SMS needs: on the desk they land among the caught mails, with a receipt."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import re
import urllib.request
from email.message import EmailMessage
from urllib.error import URLError
from urllib.parse import parse_qsl, urlencode

logger = logging.getLogger(__name__)

PATH = re.compile(r"/2010-04-01/Accounts/\w{1,64}/Messages\.json")
MAX_BYTES = 64 * 1024
RECEIPT_AFTER_S = 1.0  # by then the portal has written down what we called it


def read(body: bytes) -> dict[str, str]:
    """Return the fields of a request to send one; empty where it lacks any."""
    form = dict(parse_qsl(body.decode("utf-8", "replace")))
    return form if {"To", "From", "Body"} <= form.keys() else {}


def as_mail(form: dict[str, str]) -> bytes:
    """Return an SMS as a mail that the page can show."""
    mail = EmailMessage()
    mail["Subject"] = f"SMS to {' '.join(form['To'].split())}"
    mail.set_content(form["Body"])
    return mail.as_bytes()


def tell_delivered(form: dict[str, str], sid: str) -> None:
    """Send the receipt, signed as Twilio signs it (twilio.com/docs/usage/security); blocks. To the portal alone."""
    url, token = form.get("StatusCallback", ""), os.environ.get("TWILIO_AUTH_TOKEN", "")
    if not token or not url.startswith(os.environ.get("PORTAL_URL", "http://localhost:8000") + "/"):
        return
    fields = {"MessageSid": sid, "MessageStatus": "delivered"}
    said = url + "".join(f"{name}{value}" for name, value in sorted(fields.items()))
    signature = base64.b64encode(hmac.digest(token.encode(), said.encode(), hashlib.sha1)).decode()
    request = urllib.request.Request(url, urlencode(fields).encode(), {"X-Twilio-Signature": signature})  # noqa: S310 - checked
    try:
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - the portal's own address
    except (URLError, OSError) as error:
        logger.warning("the receipt of %s was not taken: %s", sid, error)
