"""The words of notifications: chosen by event and by the language of who reads them, and filled, before they are kept.

An operator's template goes before what is shipped, a person's own language before the portal's first. What was filled stays: a
template that changes or goes changes nothing that waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Lower

from accounts.models import Membership, Role
from notifications import gaps
from notifications.addresses import clean_message, one_line
from notifications.models import Channel, Notification, Status, Template
from notifications.templating import drafts, markup
from notifications.templating.drafts import Draft, Words
from notifications.templating.events import EVENTS, Event
from notifications.templating.languages import Value, written

_LAST = "en"  # everything is shipped in it
_PROGRAMS = frozenset({Channel.DEVICE, Channel.WEBHOOK})  # what somebody says reaches them as it was said


class Asked(NamedTuple):
    """A notification that gets its words. `own`: somebody's own text, with gaps, in place of the event's. `test`: only tried."""

    one: Notification
    event: str
    values: Mapping[str, Value]
    own: str = ""
    test: bool = False


def of_device(one: Notification, name: str | None) -> Asked:
    """Return what somebody says: a device of that name, a person in its name, or without one a person."""
    return Asked(one, "person", {}) if name is None else Asked(one, "device", {"device": name})


class TemplateRefused(Exception):
    """A template that cannot be so. `field`: of which part, the text says why."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


# --- words for notifications ---------------------------------------------------------------------------------------------------


def dress(asked: Sequence[Asked]) -> None:
    """Give new notifications their words, before they are kept; two queries for all of them."""
    asked = [one for one in asked if one.one.status == Status.QUEUED]
    if not asked:
        return
    readers = _Readers([one.one for one in asked])
    spoken = {one.one.pk: readers.language(one.one) for one in asked}
    book = Book({one.event for one in asked} | {"test"}, spoken.values())
    for one in asked:
        _put_on(one, book, spoken[one.one.pk], readers.names.get(one.one.account_id, ""))


def _put_on(asked: Asked, book: Book, language: str, account: str) -> None:
    one, event = asked.one, EVENTS[asked.event]
    values = {"account": account, "time": f"{one.asked_at:%Y-%m-%d %H:%M:%S} UTC", "message": one.message, **asked.values}
    draft = book.draft(event.key, language)
    if asked.own:
        draft = Draft(draft.subject, asked.own)
    words = drafts.fill(draft, event, values, language)
    if asked.test:
        tried = {**values, "subject": words.subject, "message": words.text}
        words = drafts.fill(book.draft("test", language), EVENTS["test"], tried, language)
    one.subject, one.language = words.subject, language
    if not (event.own_words and one.channel in _PROGRAMS):
        one.message = words.short if one.channel == Channel.SMS else words.text
    if one.channel == Channel.EMAIL:
        one.html = words.html


class Book:
    """The drafts of some events in some languages, looked up once."""

    def __init__(self, events: Iterable[str], languages: Iterable[str]) -> None:
        codes = {*languages, _first(), _LAST}
        found = Template.objects.filter(event__in=set(events), language__in=codes)
        self._own = {(one.event, one.language): draft_of(one) for one in found}

    def draft(self, event: str, language: str) -> Draft:
        """Return what is said of an event in a language, in the portal's first where nothing is."""
        for code in (language, _first(), _LAST):
            if found := self._own.get((event, code)) or drafts.shipped(event, code):
                return found
        raise LookupError(event)


class _Readers:
    """Who reads some notifications: the person whose address it is, or whoever it is that the account's owner has written to."""

    def __init__(self, rows: Sequence[Notification]) -> None:
        self.names: dict[UUID, str] = {}
        self._owners: dict[UUID, str] = {}
        self._people: dict[tuple[UUID, str, str], str] = {}
        by_channel = {channel: {one.address for one in rows if one.channel == channel} for channel in Channel}
        whose = (  # an address that is not confirmed is written to by nobody
            Q(role=Role.OWNER)
            | Q(lower__in=by_channel[Channel.EMAIL])
            | Q(user__phone__in=by_channel[Channel.SMS], user__phone_verified=True)
            | Q(user__uuid__in=[UUID(hex=one) for one in by_channel[Channel.PUSH]])
        )
        members = Membership.objects.filter(account__in={one.account_id for one in rows}).alias(lower=Lower("user__email"))
        for one in members.filter(whose).select_related("account", "user").order_by("-created_at", "-pk"):
            user, account = one.user, one.account_id
            self.names[account] = one.account.name
            if one.role == Role.OWNER:
                self._owners[account] = user.language  # of several the first one's
            reached = {Channel.EMAIL: user.email.lower(), Channel.SMS: user.phone, Channel.PUSH: user.uuid.hex}
            self._people |= {(account, channel, address): user.language for channel, address in reached.items()}

    def language(self, one: Notification) -> str:
        """Return in what language a notification is written."""
        found = self._people.get((one.account_id, one.channel, one.address)) or self._owners.get(one.account_id, "")
        return found if found in languages() else _first()


def languages() -> dict[str, str]:
    """Return in what languages notifications are written, by code with their own names."""
    return dict(settings.NOTIFICATION_LANGUAGES)


def _first() -> str:
    return str(settings.NOTIFICATION_LANGUAGES[0][0])


# --- templates -----------------------------------------------------------------------------------------------------------------


def draft_of(template: Template) -> Draft:
    """Return what a template says."""
    return Draft(template.subject, template.text, template.short, template.html)


def check(template: Template) -> None:
    """Make sure that a template can be filled, and bring it into its normal form.

    Raises:
        TemplateRefused: it names a variable that its event does not have, or its HTML is none that is taken.
    """
    event = EVENTS.get(template.event)
    if event is None:
        raise TemplateRefused("event", "There is no such event.")
    if template.language not in languages():
        raise TemplateRefused("language", "Notifications are not written in that language.")
    template.subject = one_line(template.subject, drafts.SUBJECT_KEPT)
    template.text, template.short = clean_message(template.text), clean_message(template.short)
    try:
        template.html = markup.canonical(template.html, event.links)
    except markup.BadMarkup as error:
        raise TemplateRefused("html", str(error)) from error
    for field in ("subject", "text", "short", "html"):
        try:
            gaps.check(getattr(template, field), event.names)
        except gaps.UnknownGap as error:
            raise TemplateRefused(field, str(error)) from error
    for field in ("subject", "text"):
        if not getattr(template, field):
            raise TemplateRefused(field, "Say something.")


def example(template: Template) -> Words:
    """Return what a template that was checked says, with the examples of its event's variables."""
    event = EVENTS[template.event]
    values = {one.name: one.example for one in event.variables}
    return drafts.fill(draft_of(template), event, values, template.language)


def examples(event: Event, language: str) -> list[tuple[str, str, str]]:
    """Return the variables of an event: name, meaning, and an example in a language."""
    return [(one.name, one.meaning, written(one.example, language)) for one in event.variables]
