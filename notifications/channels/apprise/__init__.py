"""Other services, by the Apprise library: Telegram, Slack, X and so on, each by the URL that Apprise has for it.

What such a URL may name is chosen here: services whose requests go to fixed hosts of theirs, so that nobody can have the portal
speak to a machine inside, and of the options in a URL those that only say how something is shown (others read files, switch the
check of certificates off, or follow redirects). An operator can let more schemas in by PORTAL_APPRISE_SCHEMAS.
"""

from __future__ import annotations

import logging
import re
from html import escape
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings

from iotportal.outward import CONNECT_S, READ_S, URL_CHARACTERS
from iotportal.sealing import SealError
from notifications.channels.base import Outgoing, PermanentFailure, Sender, TemporaryFailure
from notifications.models import Channel
from notifications.services import named

# By schema: Apprise's plugin. Each was read: its requests go to hosts that stand in its source, whatever the URL says.
_FIXED = {
    "discord": "discord.NotifyDiscord", "feishu": "feishu.NotifyFeishu", "flock": "flock.NotifyFlock",
    "gchat": "google_chat.NotifyGoogleChat", "ifttt": "ifttt.NotifyIFTTT", "join": "join.NotifyJoin", "line": "line.NotifyLine",
    "opsgenie": "opsgenie.NotifyOpsgenie", "pagerduty": "pagerduty.NotifyPagerDuty", "pagertree": "pagertree.NotifyPagerTree",
    "pbul": "pushbullet.NotifyPushBullet", "pover": "pushover.NotifyPushover", "prowl": "prowl.NotifyProwl",
    "pushme": "pushme.NotifyPushMe", "pushy": "pushy.NotifyPushy", "revolt": "revolt.NotifyRevolt",
    "signl4": "signl4.NotifySIGNL4", "slack": "slack.NotifySlack",
    "splunk": "splunk.NotifySplunk", "spush": "simplepush.NotifySimplePush",
    "tgram": "telegram.NotifyTelegram", "threema": "threema.NotifyThreema", "twitter": "twitter.NotifyTwitter",
    "whatsapp": "whatsapp.NotifyWhatsApp", "wxteams": "webexteams.NotifyWebexTeams", "x": "twitter.NotifyTwitter",
}  # fmt: skip
_NATIVE = {"hooks.slack.com": "slack", "discord.com": "discord", "chat.googleapis.com": "gchat", "maker.ifttt.com": "ifttt"}
_CALLS = re.compile(r"(?<=@)(?=(?:everyone|here|channel|all)\b)|(?<=<)(?=[!@#])", re.IGNORECASE)  # what rings up a whole room
_OPTIONS = {"to", "topic", "thread", "silent", "preview", "priority", "sound", "region"}
_NATIVE_OPTIONS = _OPTIONS | {"key", "token", "threadkey", "mode"}  # Google's, and what Apprise adds to Slack's

logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it names whom it writes to, and at times by what


class NotAService(ValueError):
    """A URL that names no service that is written to. The text says why."""


def open_url(url: str) -> Any:
    """Return Apprise's plugin for a URL, ready to send. Raises NotAService."""
    if len(url) > URL_CHARACTERS or not url.isprintable():
        raise NotAService("That is no address of a service.")
    schema, rest, _ = url.partition("://")
    schema = schema.lower()
    try:
        native = _NATIVE.get(urlsplit(url).hostname or "") if schema == "https" else None
    except ValueError as error:
        raise NotAService("That is no address of a service.") from error
    kind = _plugin(native or schema)
    if not rest or kind is None:
        raise NotAService("That service is not among those that this portal writes to.")
    try:
        found = kind.parse_native_url(url) if native else kind.parse_url(url)
        # As Apprise itself reads them: it finds some where others see none, behind a # or a ; say.
        if not found["qsd"].keys() <= (_NATIVE_OPTIONS if native else _OPTIONS):
            raise NotAService(f"Of the options after ? these are taken: {', '.join(sorted(_OPTIONS))}.")
        one = kind(**{**found, "asset": _asset()})
    except NotAService:
        raise
    except Exception as error:  # Apprise's own refusals are TypeErrors; what else its plugins stumble over is a bad URL too
        raise NotAService("That is not how an address of that service looks.") from error
    one.verify_certificate, one.redirects = True, False
    one.socket_connect_timeout, one.socket_read_timeout = CONNECT_S, READ_S
    return one


def _plugin(schema: str) -> Any:
    if path := _FIXED.get(schema):
        module, _, name = path.partition(".")
        return getattr(import_module(f"apprise.plugins.{module}"), name)
    if schema in settings.APPRISE_SCHEMAS:
        manager = import_module("apprise.manager_plugins").NotificationManager()  # loads all of its plugins; it has no `get`
        return manager[schema] if schema in manager else None  # noqa: SIM401 - no dict
    return None


def _asset() -> Any:
    from apprise import AppriseAsset

    return AppriseAsset(async_mode=False, secure_logging=True, http_redirects=False, storage_mode="memory")


def _said(service: Any, message: Outgoing) -> dict[str, str]:
    """Return what a service is given. Where it reads HTML that is escaped here: what Apprise makes of text keeps its tags."""
    title, body = (_CALLS.sub("\u2060", text) for text in (message.subject, message.text))
    formats = service.notify_format
    if (formats[0] if isinstance(formats, tuple) else formats) != "html":
        return {"title": title, "body": body, "body_format": "text"}
    return {"title": escape(title, quote=False), "body": escape(body, quote=False), "body_format": "html"}


class AppriseSender(Sender):
    """One notification of Apprise's; it says whether the service took it, and no more."""

    channel = Channel.APPRISE
    name = "apprise"

    def __init__(self) -> None:
        self._slow: set[str] = set()  # URLs that did not take something in this batch: the others do not wait for them again

    def send(self, message: Outgoing) -> str:
        """Send once."""
        try:
            target = named.target(message.id)
        except SealError as error:
            raise PermanentFailure("unknown_name", str(error)) from error
        if target is None:
            raise PermanentFailure("unknown_name")
        if target.url in self._slow:
            raise TemporaryFailure("server_away", "it took nothing a moment ago")
        try:
            service = open_url(target.url)
        except NotAService as error:
            raise PermanentFailure("not_allowed", str(error)) from error
        try:
            taken = service.notify(**_said(service, message))
        except (requests.RequestException, OSError, TypeError, ValueError) as error:
            raise TemporaryFailure("server_away", type(error).__name__) from error
        if not taken:
            self._slow.add(target.url)
            raise TemporaryFailure("server_away", f"{service.service_name} did not take it")
        return ""
