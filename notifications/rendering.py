"""What a notification looks like on its way: a subject, a text, and HTML for mails. What devices say is escaped, never run."""

from __future__ import annotations

from django.conf import settings
from django.template.defaultfilters import linebreaksbr

from iotportal.stencil import draw, write
from notifications import links
from notifications.addresses import one_line
from notifications.channels.base import Outgoing
from notifications.models import Cause, Channel, Notification


def outgoing(one: Notification) -> Outgoing:
    """Return what is sent for a notification."""
    if one.channel != Channel.EMAIL:
        text = f"{one.device.name}: {one.message}" if one.device and one.channel == Channel.SMS else one.message
        return Outgoing(one.id, one.address, subject_of(one), text)
    asks = one.cause == Cause.CONFIRM
    leave = links.unsubscribe_url(one)
    mail = f"emails/{'notification_confirm' if asks else 'notification'}_message"
    values = {
        "message": one.message,
        "device": one.device.name if one.device else "",
        "account": one.account.name,
        "asked_at": f"{one.asked_at:%-d %B %Y, %H:%M:%S}",
        "portal_url": settings.PORTAL_URL,
        "unsubscribe_url": leave,
        "confirm_url": links.confirm_url(one) if asks else "",
    }
    of_device = bool(one.device)
    text = write(f"{mail}.txt", values, of_device=of_device)
    html = draw(f"{mail}.html", {**values, "message": linebreaksbr(one.message, autoescape=True)}, of_device=of_device)
    return Outgoing(one.id, one.address, subject_of(one), text, html, "" if asks else leave)


def subject_of(one: Notification) -> str:
    """Return the subject: its own, else what a device says, in one line."""
    if one.subject:
        return one_line(one.subject)
    return one_line(f"{one.device.name}: {one.message}" if one.device else one.message)
