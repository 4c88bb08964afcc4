"""Sending what is due: claimed with an expiry, judged, tried, and written down try by try.

Each channel is claimed by itself (`lanes`). A claim moves `due_at` ahead by `CLAIM_S`. A worker that dies holds nothing: once the
time is over the row is due again, and a worker that comes late with a claim which has passed to another changes nothing but its
own attempt.

What is lost when a worker is killed: nothing. What can be said twice: a mail of which the server had the whole, while we had not
begun to write down that it was taken. That is the time in which the server thinks about it, and a fraction of a millisecond
(RFC 1047); SMTP has no question by which another worker could learn what came of it. It goes again with the same Message-ID.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from uuid import uuid4

from django.db.models import prefetch_related_objects
from django.utils import timezone

from notifications import channels
from notifications.channels.base import PermanentFailure, RefusedHere, Sender, SenderAway, SendFailure
from notifications.events import tell
from notifications.models import Cause, Channel, Notification, Status
from notifications.rendering import outgoing
from notifications.services import bell, choice, consent, digest, lanes, limits, payments, quiet, records

logger = logging.getLogger(__name__)

RUN_S = 10
CLAIM_S = 120
SEND_S = 30  # the longest that one try takes
_ONCE = frozenset({Channel.SMS})  # what costs money and has no name by which a second one is known
SENDING, HELD = "sending", "quiet_hours"  # reasons of what is queued
_MAX_CLAIMS = 100  # one that every worker stumbles over, or dies of, ends here
# How long it is tried, from its first try on, or from the end of the quiet hours that held it.
_LIVES = {Channel.EMAIL: timedelta(hours=24), Channel.SMS: timedelta(hours=1), Channel.DEVICE: timedelta(minutes=10)}
_LIFE = timedelta(hours=6)

# Materialised, or PostgreSQL may join by running the inner SELECT again for each row, which skips what it has locked and so takes
# more than LIMIT says.
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT id FROM notifications_notification WHERE status = 'queued' AND channel = %(channel)s AND due_at <= %(now)s
    ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE notifications_notification AS one SET claim = %(claim)s, claims = LEAST(claims + 1, 1000), due_at = %(until)s
FROM due WHERE one.id = due.id RETURNING one.*
"""


def due() -> list[str]:
    """Return the channels on which something is due."""
    rows = Notification.objects.filter(status=Status.QUEUED, due_at__lte=timezone.now())
    return list(rows.order_by().values_list("channel", flat=True).distinct())


def deliver(channel: str = "", *, wait_s: float = 0.0) -> int:
    """Send all that is due on a channel, or on one after the other, a batch at a time; returns how many were claimed.

    Whoever sent something waits `wait_s` for more before it leaves, its senders open. After `RUN_S` it calls another in its
    place: other work of this worker comes first then.
    """
    if not channel:
        return sum(deliver(one, wait_s=wait_s) for one in Channel.values)
    total, ends = 0, time.monotonic() + RUN_S
    with ExitStack() as held:
        desk = Desk(held)
        while time.monotonic() < ends:
            claimed = claim(channel)
            if claimed:
                total += len(claimed)
                desk.handle(claimed)
                if desk.is_stuck:  # the next run tries again
                    break
            elif not (total and wait_s and bell.wait(channel, wait_s)):
                break
        else:
            bell.ring(channel)
    return total


def claim(channel: str, *, now: datetime | None = None) -> list[Notification]:
    """Take a batch of what is due on a channel, the longest waiting first; nobody else sends it for `CLAIM_S` seconds."""
    now = now or timezone.now()
    rows = Notification.objects.raw(_CLAIM, {
        "channel": channel, "claim": uuid4(), "now": now, "until": now + timedelta(seconds=CLAIM_S),
        "limit": lanes.LANES[Channel(channel)].batch,
    })  # fmt: skip
    claimed = sorted(rows, key=lambda one: (one.created_at, one.pk))
    prefetch_related_objects(claimed, "account", "device")  # most are of few
    return claimed


class Desk:
    """One worker's senders, open for as long as there is something to send."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held
        self._senders: dict[str, list[Sender]] = {}
        self._away: set[str] = set()
        self._taken = 0
        self._choice = choice.Choice()

    @property
    def is_stuck(self) -> bool:
        """Whether a sender was away in the last batch, and none took anything."""
        return bool(self._away) and not self._taken

    def handle(self, claimed: list[Notification]) -> None:
        """Judge and try a batch; what is not reached while the claim lasts is left for the next."""
        ends = time.monotonic() + CLAIM_S - 2 * SEND_S
        self._away.clear()
        self._taken = 0
        self._choice.look()
        found, waits = consent.verdicts(claimed), quiet.waits(claimed)
        full = limits.take([one for one in claimed if not found[one.pk].reason and one.pk not in waits and self._is_new(one)])
        told: list[Notification] = []
        for one in claimed:
            if time.monotonic() > ends:
                logger.warning("left %d notifications to the next claim", len(claimed) - len(told))
                records.leave(claimed[len(told) :])
                break
            if one.pk in waits and not _may_be_out(one):
                records.mark(one, due_at=waits[one.pk], reason=HELD)
            else:
                self._one(one, found[one.pk], full.get(one.pk))
            told.append(one)
        tell(told)

    def _is_new(self, one: Notification) -> bool:
        """Whether it is tried for the first time, and can be."""
        return one.judged_at is None and one.claims <= _MAX_CLAIMS and bool(self._of(one.channel))

    def _one(self, one: Notification, verdict: consent.Verdict, full: limits.NotTaken | None) -> None:
        try:
            if one.claims > _MAX_CLAIMS:
                records.finish(one, Status.FAILED, "gave_up")
                return
            reason = verdict.reason or self._admit(one, verdict, full)
            if _may_be_out(one):
                records.finish(one, Status.FAILED, "unclear")
            elif reason:
                records.finish(one, Status.REFUSED, reason)
            else:
                self._try(one)
        except limits.CannotCount:
            records.postpone(one, SenderAway("server_away"))
        except Exception:
            logger.exception("notification %s could not be handled; it will be tried again", one.hex)

    def _admit(self, one: Notification, verdict: consent.Verdict, full: limits.NotTaken | None) -> str:
        """Charge it at its first try, if it was counted; returns why it may not be sent, or ""."""
        if not self._of(one.channel):
            return "no_sender"
        if one.judged_at is not None:
            if one.reason == HELD:  # the night is no part of the time in which it is tried
                one.judged_at = timezone.now()
            return ""
        try:
            if full is not None:
                raise full
            if not payments.is_free(one.channel, own=verdict.own):
                payments.pay(notification=one, country=limits.country_of(one))
        except limits.TooMany:
            return digest.fold(one)
        except payments.CannotPay as error:
            return error.code
        one.judged_at = timezone.now()
        if one.cause == Cause.DIGEST:
            digest.write(one)
        return ""

    def _try(self, one: Notification) -> None:
        """Ask one sender after the other, up to the first that takes it."""
        failure: SendFailure | None = None
        for sender in self._choice.order(self._of(one.channel), limits.country_of(one)):
            if sender.name in self._away:
                failure = SenderAway("server_away") if failure is None or isinstance(failure, RefusedHere) else failure
                continue
            began = time.monotonic()
            # Should we be killed now, the next one knows that it may be out; whose claim is over sends nothing.
            if one.channel in _ONCE and not records.mark(one, reason=SENDING, judged_at=one.judged_at):
                return
            try:
                vendor_id = sender.send(outgoing(one))
            except SendFailure as error:
                if one.channel in {Channel.EMAIL, Channel.SMS}:
                    error.leave_out(one.address)
                if failure is None or not isinstance(error, RefusedHere):  # what another may take later is not over
                    failure = error
                records.failed(one, sender.name, began, error)
                if isinstance(error, SenderAway):
                    self._away.add(sender.name)
                    self._choice.failed(sender, error)
                if isinstance(error, PermanentFailure) and not isinstance(error, RefusedHere):
                    break
            else:
                records.accepted(one, sender.name, began, vendor_id)
                self._choice.took(sender)
                self._taken += 1
                return
        self._failed(one, failure or SenderAway("server_away"))

    def _failed(self, one: Notification, failure: SendFailure) -> None:
        life = _LIVES.get(Channel(one.channel), _LIFE)
        if isinstance(failure, PermanentFailure):
            records.finish(one, Status.FAILED, failure.code, failure.detail)
        elif timezone.now() - (one.judged_at or one.created_at) > life:
            records.finish(one, Status.FAILED, "gave_up", failure.detail)
        else:
            records.postpone(one, failure)

    def _of(self, channel: str) -> list[Sender]:
        if channel not in self._senders:
            self._senders[channel] = channels.senders(channel)
            for sender in self._senders[channel]:
                self._held.callback(sender.close)
        return self._senders[channel]


def _may_be_out(one: Notification) -> bool:
    """Say whether a worker was killed while it handed over what must not be sent twice."""
    return one.reason == SENDING and one.channel in _ONCE
