"""SMS by Twilio."""

from __future__ import annotations

from typing import Any

import requests
from django.conf import settings
from django.urls import reverse
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from notifications.channels.base import Outgoing, PermanentFailure, RefusedHere, Sender, SenderAway, SendFailure, TemporaryFailure
from notifications.channels.sms import CHARACTERS, TIMEOUT_S, unless_sent
from notifications.models import Channel

# Of Twilio's error codes (twilio.com/docs/api/errors) those about the number: it is none, cannot get SMS, or has said STOP; and
# those about what our number there may do: the country is not enabled, it sends no SMS, it does not reach that number.
_NUMBER = {21211, 21214, 21217, 21401, 21407, 21421, 21614, 60033}
_OURS = {21408, 21606, 21612}
_STOPPED = 21610


class TwilioSender(Sender):
    """One POST a message; its receipts come to `/receipts/twilio/`."""

    channel = Channel.SMS
    name = "twilio"

    def __init__(self) -> None:
        conf = settings.SENDERS
        client = Client(conf.twilio_account, conf.twilio_token, http_client=TwilioHttpClient(timeout=TIMEOUT_S))
        if conf.twilio_url:
            client.api.base_url = conf.twilio_url
        self._messages: Any = client.messages
        self._from = conf.twilio_from

    def send(self, message: Outgoing) -> str:
        """Hand one SMS over. One whose answer was lost is not sent again: nobody would know whether it was the second."""
        receipts = settings.PORTAL_URL + reverse("notifications:twilio")
        try:
            sent = self._messages.create(
                to=message.address, from_=self._from, body=message.text[:CHARACTERS], status_callback=receipts
            )
        except TwilioRestException as error:
            raise _failure(error) from error
        except (requests.ConnectTimeout, requests.exceptions.SSLError) as error:
            raise SenderAway("server_away", type(error).__name__) from error
        except requests.ConnectionError as error:
            raise unless_sent(error) from error
        except (requests.RequestException, TwilioException) as error:
            raise PermanentFailure("unclear", type(error).__name__) from error
        return str(sent.sid)


def is_genuine(url: str, form: dict[str, str], signature: str) -> bool:
    """Say whether a receipt was signed with our token."""
    return bool(RequestValidator(settings.SENDERS.twilio_token).validate(url, form, signature))


def _failure(error: TwilioRestException) -> SendFailure:
    said = f"{error.code}: {error.msg}" if error.code else str(error.status)
    if error.code == _STOPPED:
        return PermanentFailure("unsubscribed", said)
    if error.code in _NUMBER:
        return PermanentFailure("refused_by_server", said)
    if error.code in _OURS:
        return RefusedHere("refused_by_server", said)
    if error.status in {401, 403} or error.status >= 500 or error.status == 429:
        return SenderAway("server_away", said)
    return TemporaryFailure("refused_by_server", said)
