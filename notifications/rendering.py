"""What a notification looks like on its way: a subject, a text, and HTML for mails. What devices say is escaped, never run."""

from __future__ import annotations

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse

from notifications import links
from notifications.addresses import one_line
from notifications.channels.base import Outgoing
from notifications.models import Cause, Channel, Notification


def outgoing(one: Notification) -> Outgoing:
    """Return what is sent for a notification."""
    if one.channel != Channel.EMAIL:
        text = f"{one.device.name}: {one.message}" if one.device and one.channel == Channel.SMS else one.message
        return Outgoing(one.id, one.address, subject_of(one), text)
    leave = links.unsubscribe_url(one)
    words = {
        "one": one,
        "device": one.device,
        "portal_url": settings.PORTAL_URL,
        "log_url": settings.PORTAL_URL + reverse("notifications:log"),
        "unsubscribe_url": leave,
        "confirm_url": links.confirm_url(one) if one.cause == Cause.CONFIRM else "",
        "account": one.account,
    }
    name = "notification_confirm" if one.cause == Cause.CONFIRM else "notification"
    text, html = (render_to_string(f"emails/{name}_message.{kind}", words).strip() for kind in ("txt", "html"))
    return Outgoing(one.id, one.address, subject_of(one), text, html, "" if one.cause == Cause.CONFIRM else leave)


def subject_of(one: Notification) -> str:
    """Return the subject: its own, else what a device says, in one line."""
    if one.subject:
        return one_line(one.subject)
    return one_line(f"{one.device.name}: {one.message}" if one.device else one.message)
