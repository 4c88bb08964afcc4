"""SMS by Vonage (the former Nexmo)."""

from __future__ import annotations

import re
import time
from typing import Any

import requests
from django.conf import settings
from django.urls import reverse
from vonage_http_client.auth import Auth
from vonage_http_client.errors import HttpRequestError
from vonage_http_client.http_client import HttpClient, HttpClientOptions
from vonage_sms import Sms, SmsMessage
from vonage_sms.errors import PartialFailureError, SmsError

from notifications.channels.base import Outgoing, PermanentFailure, Sender, SenderAway, SendFailure, TemporaryFailure
from notifications.channels.sms import CHARACTERS, TIMEOUT_S, unless_sent
from notifications.models import Channel
from notifications.segments import is_plain

# Of Vonage's SMS error codes (developer.vonage.com/en/messaging/sms/guides/troubleshooting-sms): what is about the number, and
# what is about the account or Vonage itself.
_NUMBER = {3, 6, 7, 29, 33}
_ACCOUNT = {1, 2, 4, 5, 8, 9, 10, 11, 14, 15, 32}
_OLD_S = 300  # a receipt that was signed longer ago may be one that somebody kept
_CALLBACK_CHARACTERS = 100


class VonageSender(Sender):
    """One POST a message; its receipts come to `/receipts/vonage/`."""

    channel = Channel.SMS
    name = "vonage"

    def __init__(self) -> None:
        conf = settings.SENDERS
        # One connection at a time and no retries: the library would send again what broke off, which could make two of it.
        options = HttpClientOptions(rest_host=conf.vonage_host, timeout=TIMEOUT_S, pool_maxsize=1, max_retries=0)
        self._sms = Sms(HttpClient(Auth(api_key=conf.vonage_key, api_secret=conf.vonage_secret), options))
        self._from = conf.vonage_from

    def send(self, message: Outgoing) -> str:
        """Hand one SMS over. One whose answer was lost is not sent again: nobody would know whether it was the second."""
        try:
            sent = self._sms.send(SmsMessage(**self._fields(message)))
        except PartialFailureError as error:
            raise PermanentFailure("unclear", "one part was taken and another was not") from error
        except SmsError as error:
            raise _failure(error) from error
        except HttpRequestError as error:
            status = error.response.status_code
            raise (SenderAway if status in {401, 403, 429} or status >= 500 else TemporaryFailure)(
                "server_away", str(status)
            ) from error
        except (requests.ConnectTimeout, requests.exceptions.SSLError) as error:
            raise SenderAway("server_away", type(error).__name__) from error
        except requests.ConnectionError as error:
            raise unless_sent(error) from error
        except (requests.RequestException, KeyError, TypeError, ValueError) as error:
            raise PermanentFailure("unclear", type(error).__name__) from error
        return str(sent.messages[0].message_id)

    def _fields(self, message: Outgoing) -> dict[str, Any]:
        text = message.text[:CHARACTERS]
        fields = {"to": message.address.removeprefix("+"), "from_": self._from, "text": text, "client_ref": message.id.hex}
        fields["type"] = "text" if is_plain(text) else "unicode"
        receipts = settings.PORTAL_URL + reverse("notifications:vonage")
        if len(receipts) <= _CALLBACK_CHARACTERS:  # or the one that stands in Vonage's dashboard
            fields["callback"] = receipts
        return fields


def is_genuine(fields: dict[str, str]) -> bool:
    """Say whether a receipt was signed with our secret (HMAC-SHA256), and lately."""
    conf = settings.SENDERS
    auth = Auth(api_key=conf.vonage_key, signature_secret=conf.vonage_signature, signature_method="sha256")
    stamp = fields.get("timestamp", "")
    if not fields.get("sig", "").isascii() or not re.fullmatch(r"\d{1,12}", stamp, re.ASCII):
        return False
    return bool(auth.check_signature(dict(fields))) and abs(time.time() - int(stamp)) <= _OLD_S


def _failure(error: SmsError) -> SendFailure:
    found = re.search(r"error code (\d+)", str(error))
    code = int(found[1]) if found else 0
    if code in _NUMBER:
        return PermanentFailure("refused_by_server", str(code))
    return SenderAway("server_away", str(code)) if code in _ACCOUNT else TemporaryFailure("refused_by_server", str(code))
