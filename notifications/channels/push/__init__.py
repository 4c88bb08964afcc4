"""Web Push: to the browsers that people switched on, encrypted to each (RFC 8291), signed by the portal (VAPID, RFC 8292)."""

from __future__ import annotations

import base64
import json
import time
from functools import lru_cache

import requests
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.urls import reverse
from py_vapid import Vapid02
from pywebpush import WebPushException, webpush

from devices.pki.authority import file_at
from devices.pki.files import Stamp, stamp
from devices.pki.setting_up import PUSH_KEY
from iotportal import outward
from notifications.channels.base import Outgoing, PermanentFailure, Sender, SendFailure, TemporaryFailure
from notifications.models import Browser, Channel
from notifications.services import browsers

TTL_S = 6 * 3600  # how long a push service keeps it for a browser that is off
LONGEST_S = 15.0  # after which no further browser is begun: others wait behind
_BYTES = 3900  # of the JSON: encrypted it has at most 4,096 (RFC 8030, 7.2), of which 103 are header, key and padding
_GONE = {404, 410}


class PushSender(Sender):
    """One POST a browser. Taken by one of them, it is sent; those that are no more are forgotten."""

    channel = Channel.PUSH
    name = "webpush"

    def __init__(self) -> None:
        self._session = outward.session()

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def send(self, message: Outgoing) -> str:
        """Push to all browsers behind an address. At a second try one that had it shows it in the same place (`tag`, `Topic`)."""
        taken, failures = 0, list[SendFailure]()
        ends = time.monotonic() + LONGEST_S
        for browser in browsers.of(message.address):
            if (taken or failures) and time.monotonic() > ends:
                failures.append(TemporaryFailure("server_away", "the push services are too slow"))
                break
            try:
                self._push(browser, message)
            except SendFailure as failure:
                failures.append(failure)
            else:
                taken += 1
        if taken:
            return f"{taken} of {taken + len(failures)}"
        if not failures:
            raise PermanentFailure("no_browser")
        raise next((one for one in failures if isinstance(one, TemporaryFailure)), failures[0])

    def _push(self, browser: Browser, message: Outgoing) -> None:
        about = {"endpoint": browser.endpoint, "keys": {"p256dh": browser.p256dh, "auth": browser.auth}}
        try:
            webpush(
                about, payload(message), vapid_private_key=_key(), vapid_claims={"sub": _contact()}, ttl=TTL_S,
                headers={"Topic": message.id.hex, "Urgency": "normal"}, timeout=outward.READ_S, requests_session=self._session,
            )  # fmt: skip
        except WebPushException as error:
            raise _failure(browser, error) from error
        except outward.NotAllowed as error:
            raise PermanentFailure("not_allowed", str(error)) from error
        except (requests.RequestException, OSError) as error:
            raise TemporaryFailure("server_away", type(error).__name__) from error
        browsers.pushed(browser)


def payload(message: Outgoing) -> str:
    """Return what the service worker shows (static/js/push-worker.js)."""
    url = reverse("notifications:detail", args=[message.id.hex])
    kept, cut = message.text, ""
    while True:
        said = {"title": message.subject, "text": kept + cut, "url": url, "tag": message.id.hex}
        body = json.dumps(said, ensure_ascii=False)
        size = len(body.encode())
        if size <= _BYTES:
            return body
        kept, cut = kept[: len(kept) * _BYTES // size - 1], "…"


def public_key() -> str:
    """Return the portal's public key as browsers want it (`applicationServerKey`): base64url of the uncompressed point."""
    point = _key().public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode()


def _key() -> Vapid02:
    path = file_at(PUSH_KEY)
    return _load(str(path), stamp(path))


@lru_cache(maxsize=1)
def _load(path: str, _stamp: Stamp) -> Vapid02:
    return Vapid02.from_file(path)


def _contact() -> str:
    """Return whom a push service can write to about us; some take HTTPS and mailto alone."""
    url = str(settings.PORTAL_URL)
    return url if url.startswith("https://") else "mailto:portal@example.com"


def _failure(browser: Browser, error: WebPushException) -> SendFailure:
    status = error.response.status_code if error.response is not None else 0
    if status in _GONE:
        browsers.gone(browser)
        return PermanentFailure("no_browser", f"{status}: the browser is switched off")
    if status in {408, 429} or status >= 500:
        return TemporaryFailure("server_away", str(status))
    return PermanentFailure("refused_by_server", str(status or type(error).__name__))
