"""What a notification looks like on its way: a subject, a text, and HTML for mails, its words in the portal's own frame. What
devices say is escaped, never run.
"""

from __future__ import annotations

from django.conf import settings
from django.template.defaultfilters import linebreaksbr
from django.utils.safestring import SafeString, mark_safe

from iotportal.stencil import draw, write
from notifications import links
from notifications.addresses import one_line
from notifications.channels.base import Outgoing
from notifications.models import Cause, Channel, Notification
from notifications.templating import languages
from notifications.templating.drafts import shipped_languages

_FRAMED = shipped_languages() - {"en"}  # what stands around the words is there in these, too


def outgoing(one: Notification) -> Outgoing:
    """Return what is sent for a notification."""
    if one.channel != Channel.EMAIL:
        return Outgoing(one.id, one.address, subject_of(one), one.message)
    asks = one.cause == Cause.CONFIRM
    leave = links.unsubscribe_url(one)
    folder = f"{one.language}/" if one.language in _FRAMED else ""
    mail = f"emails/{folder}{'notification_confirm' if asks else 'notification'}_message"
    values = {
        "message": one.message,
        "device": one.device_name,
        "account": one.account.name,
        "asked_at": languages.written(languages.second(one.asked_at), one.language),
        "portal_url": settings.PORTAL_URL,
        "unsubscribe_url": leave,
        "confirm_url": links.confirm_url(one) if asks else "",
    }
    of_device = bool(one.device_name)
    text = write(f"{mail}.txt", values, of_device=of_device)
    html = draw(f"{mail}.html", {**values, "message": _marked(one)}, of_device=of_device)
    return Outgoing(one.id, one.address, subject_of(one), text, html, "" if asks else leave)


def _marked(one: Notification) -> SafeString:
    words = one.html or f'<p dir="auto">{linebreaksbr(one.message, autoescape=True)}</p>'
    return mark_safe(words)  # noqa: S308  # escaped when a template was filled, or here


def subject_of(one: Notification) -> str:
    """Return the subject: its own, else what a device says, in one line."""
    if one.subject:
        return one_line(one.subject)
    return one_line(f"{one.device_name}: {one.message}" if one.device_name else one.message)
