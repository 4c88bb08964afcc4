"""SMS by AWS End User Messaging (what Amazon Pinpoint's SMS became); the keys are those that boto3 finds by itself."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError, NoCredentialsError
from django.conf import settings

from notifications.channels.base import Outgoing, PermanentFailure, RefusedHere, Sender, SenderAway, SendFailure, TemporaryFailure
from notifications.channels.sms import CHARACTERS, LIVES_S, once
from notifications.models import Channel

# Of the API's reasons (pinpoint-sms-voice-v2, SendTextMessage) about the number, and about what our account may do there.
_STOPPED = "DESTINATION_PHONE_NUMBER_OPTED_OUT"
_NUMBER = {
    "DESTINATION_COUNTRY_BLOCKED", "FIELD_VALIDATION_FAILED", "INVALID_PARAMETER",
    "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION", "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE",
}  # fmt: skip
_OURS = {
    "COUNTRY_NOT_ENABLED", "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY", "INTERNATIONAL_SENDING_NOT_SUPPORTED",
    "DESTINATION_PHONE_NUMBER_NOT_VERIFIED",
}  # fmt: skip
_AWAY = {"ServiceQuotaExceededException", "ThrottlingException", "AccessDeniedException", "InternalServerException"}


class AwsSmsSender(Sender):
    """One SendTextMessage a message; its receipts come from SNS to `/receipts/aws/`."""

    channel = Channel.SMS
    name = "aws_sms"

    def __init__(self) -> None:
        conf = settings.SENDERS
        region, url = conf.aws_region or None, conf.aws_url or None
        self._client: Any = boto3.client("pinpoint-sms-voice-v2", region_name=region, endpoint_url=url, config=once())
        self._about = {"MessageType": "TRANSACTIONAL", "TimeToLive": LIVES_S}
        if conf.aws_origination:
            self._about["OriginationIdentity"] = conf.aws_origination
        if conf.aws_configuration_set:
            self._about["ConfigurationSetName"] = conf.aws_configuration_set

    def send(self, message: Outgoing) -> str:
        """Hand one SMS over. It is not repeated by the library, which could make two of it."""
        try:
            sent = self._client.send_text_message(
                DestinationPhoneNumber=message.address, MessageBody=message.text[:CHARACTERS], **self._about
            )
        except ClientError as error:
            raise _failure(error) from error
        except (EndpointConnectionError, ConnectTimeoutError, NoCredentialsError) as error:
            raise SenderAway("server_away", type(error).__name__) from error
        except BotoCoreError as error:
            raise PermanentFailure("unclear", type(error).__name__) from error
        return str(sent["MessageId"])


def _failure(error: ClientError) -> SendFailure:
    code, reason = str(error.response.get("Error", {}).get("Code", "")), str(error.response.get("Reason", ""))
    said = f"{code} {reason}".strip()
    if reason == _STOPPED:
        return PermanentFailure("unsubscribed", said)
    if reason in _NUMBER:
        return PermanentFailure("refused_by_server", said)
    if reason in _OURS:
        return RefusedHere("refused_by_server", said)
    return SenderAway("server_away", said) if code in _AWAY else TemporaryFailure("refused_by_server", said)
