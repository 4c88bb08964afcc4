"""SMS by Amazon SNS; the keys are those that boto3 finds by itself."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError, NoCredentialsError
from django.conf import settings

from notifications.channels.base import Outgoing, PermanentFailure, Sender, SenderAway
from notifications.channels.sms import CHARACTERS, once
from notifications.models import Channel

_FINAL = {"InvalidParameter", "InvalidParameterValue", "OptedOut"}


class SnsSender(Sender):
    """One Publish a message. It is not repeated by the library, which could make two of it."""

    channel = Channel.SMS
    name = "sns"

    def __init__(self) -> None:
        conf = settings.SENDERS
        self._client: Any = boto3.client(
            "sns", region_name=conf.aws_region or None, endpoint_url=conf.aws_url or None, config=once()
        )

    def send(self, message: Outgoing) -> str:
        """Hand one SMS over."""
        kind = {"AWS.SNS.SMS.SMSType": {"DataType": "String", "StringValue": "Transactional"}}
        try:
            answer = self._client.publish(PhoneNumber=message.address, Message=message.text[:CHARACTERS], MessageAttributes=kind)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _FINAL:
                raise PermanentFailure("refused_by_server", code) from error
            raise SenderAway("server_away", code) from error
        except (EndpointConnectionError, ConnectTimeoutError, NoCredentialsError) as error:
            raise SenderAway("server_away", type(error).__name__) from error
        except BotoCoreError as error:
            raise PermanentFailure("unclear", type(error).__name__) from error
        return str(answer["MessageId"])
