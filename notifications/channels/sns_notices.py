"""What Amazon SNS posts to us: whose word it is, and that it is none of yesterday's.

Its signature says that it is Amazon's, its topic that it is ours: everybody can have a topic, and Amazon signs for all of them.
Source: docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.conf import settings
from django.core.cache import cache
from django.utils.dateparse import parse_datetime

from iotportal import outward

_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HOST = r"https://sns\.[a-z0-9-]{1,40}\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE = re.compile(_HOST + r"/SimpleNotificationService-[0-9a-f]{1,64}\.pem")
_SUBSCRIBE = re.compile(_HOST + r"/\?[\x21-\x7e]{1,1000}")
_KEPT_S = 86_400
_OLD = timedelta(hours=1)  # SNS tries again for less


class Forged(Exception):
    """It is not from Amazon, not of a topic of ours, or from another time. The text says which."""


def read(body: bytes) -> dict[str, str]:
    """Return a message of SNS that was signed by Amazon, for a topic of ours, within the last hour. Raises Forged."""
    try:
        found = json.loads(body)
        said = {str(name): value for name, value in found.items() if isinstance(value, str)}
    except (ValueError, AttributeError, RecursionError) as error:
        raise Forged("no message of SNS") from error
    names = _SIGNED.get(said.get("Type", ""))
    if names is None or said.get("TopicArn") not in settings.SENDERS.aws_topics:
        raise Forged("of another topic")
    _check(said, "".join(f"{name}\n{said[name]}\n" for name in names if name in said).encode())
    moment = parse_datetime(said.get("Timestamp", ""))
    if moment is None or moment.tzinfo is None or abs(datetime.now(UTC) - moment) > _OLD:
        raise Forged("from another time")
    return said


def _check(said: dict[str, str], signed: bytes) -> None:
    algorithm = {"1": hashes.SHA1, "2": hashes.SHA256}.get(said.get("SignatureVersion", ""))  # what the topic is set to
    if algorithm is None:
        raise Forged("of an unknown signature version")
    try:
        signature = base64.b64decode(said.get("Signature", ""), validate=True)
        _key(said.get("SigningCertURL", "")).verify(signature, signed, padding.PKCS1v15(), algorithm())
    except (InvalidSignature, ValueError) as error:
        raise Forged("not signed by Amazon") from error


def _key(url: str) -> rsa.RSAPublicKey:
    if not _CERTIFICATE.fullmatch(url):
        raise Forged("its certificate is elsewhere than at Amazon")
    pem = cache.get(f"sns-certificate:{url}")
    if pem is None:
        pem = _fetch(url)
        cache.set(f"sns-certificate:{url}", pem, timeout=_KEPT_S)
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise Forged("its certificate is of another kind")
    return key


def _fetch(url: str) -> str:
    with outward.session() as session:
        answer = session.get(url)
    if answer.status_code != 200:
        raise requests.ConnectionError(f"the certificate: {answer.status_code}")
    return answer.text


def confirm(said: dict[str, str]) -> None:
    """Confirm that a topic of ours is to post here. Raises Forged, requests.RequestException."""
    url = said.get("SubscribeURL", "")
    if not _SUBSCRIBE.fullmatch(url):
        raise Forged("it is to be confirmed elsewhere than at Amazon")
    _fetch(url)


def event(said: dict[str, str]) -> dict[str, Any]:
    """Return what stands in a notification; empty where it is no JSON object, as in SNS's own test messages."""
    try:
        found = json.loads(said.get("Message", ""))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
