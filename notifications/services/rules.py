"""Rules: making them, and telling somebody when a device says what one waits for.

The bridge hands over what devices said, batch by batch. Which devices have rules is kept in memory; a batch costs one query for
those not seen before and nothing else while no rule holds. A change of rules moves a version in Valkey on, which is looked at
once a second.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import Account, User
from devices.models import Device
from messaging.hooks import DeviceMessage, FailedCommand
from messaging.models import Outcome
from notifications import gaps
from notifications.addresses import BadRecipient, clean_message, read
from notifications.conditions import Condition, as_number
from notifications.conditions import read as read_fields
from notifications.models import ANY, Cause, Channel, Comparison, Notification, Rule
from notifications.services import intake, rule_book, templates
from notifications.templating.events import RULE_VARIABLES
from notifications.templating.languages import Value, phrase

logger = logging.getLogger(__name__)

PER_ACCOUNT, PER_DEVICE = 200, 20
_NOT_THESE = {"trigger_notification"}  # it notifies by itself


@dataclass(frozen=True, slots=True)
class Due:
    """A rule that holds by a message, or a failed command, in which it found `value`."""

    rule: Rule
    message: DeviceMessage | FailedCommand
    value: str


class RuleRefused(Exception):
    """A rule that cannot be so. `field`: of which part, the text says why."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@transaction.atomic
def save(*, rule: Rule, user: User | None = None) -> Rule:
    """Keep a rule, new or changed; it counts from within a second on. What it was told last is forgotten.

    Raises:
        RuleRefused: it makes no sense, it would go round in a circle, there are too many, or it is gone meanwhile.
    """
    # So that two at once are counted, and see each other's circle.
    Account.objects.select_for_update(no_key=True).get(pk=rule.account_id)
    is_new = rule._state.adding
    _hold(rule, is_new=is_new)
    _check(rule)
    if is_new:
        rule.made_by = user
        _count(rule)
    rule.told_at = rule.told_value = None
    rule.save()
    transaction.on_commit(rule_book.changed)
    logger.info("rule %s of device %s %s", rule.hex, rule.device_id.hex, "made" if is_new else "changed")
    return rule


def switch(*, rule: Rule, on: bool) -> None:
    """Switch a rule on or off. Raises RuleRefused."""
    rule.enabled = on
    save(rule=rule)


def delete(*, rule: Rule) -> None:
    """Delete a rule."""
    rule.delete()
    transaction.on_commit(rule_book.changed)


def leave(device: Device) -> None:
    """Delete the rules of a device that leaves its account, or is deleted, and those that would write to it."""
    Rule.objects.filter(Q(device=device) | Q(account=device.account_id, recipient=device.hex)).delete()
    transaction.on_commit(rule_book.changed)


def test(*, rule: Rule, user: User, key: str) -> Notification:
    """Send now what the rule would say. `key`: names the request, so that a second click finds the first one's notification."""
    source = f"rule-test:{rule.hex}:{sha256(key.encode(errors='replace')).hexdigest()[:32]}"
    asked = _asked(rule, value=None, source=source, at=timezone.now(), user=user, test=True)
    templates.dress([asked])
    kept = intake.keep([asked.one])
    if kept:
        intake.announce(kept)
    return kept[0] if kept else Notification.objects.get(source=source)


def notice(messages: Sequence[DeviceMessage]) -> None:
    """Tell what rules wait for. Told of the same messages again, it tells nothing twice."""
    known = rule_book.book.of({one.device_id for one in messages})
    due: dict[UUID, Due] = {}
    for message in messages if known else ():
        rules = [one for one in known.get(message.device_id, ()) if _is_about(one, message)]
        if rules and (fields := read_fields(message.payload)) is not None:
            for rule in rules:
                value = condition_of(rule).found(fields)
                if value is not None and rule.pk not in due and _is_due(rule, message, value):
                    due[rule.pk] = Due(rule, message, value)
    if due:
        _tell(due.values())


def notice_failures(commands: Sequence[FailedCommand]) -> None:
    """Tell whom rules name of commands that failed."""
    known = rule_book.book.of({one.device_id for one in commands})
    due: dict[UUID, Due] = {}
    for command in commands if known else ():
        for rule in known.get(command.device_id, ()):
            if _is_about_failure(rule, command) and rule.pk not in due and _is_time(rule, command.time):
                due[rule.pk] = Due(rule, command, Outcome(command.outcome).label)
    if due:
        _tell(due.values())


def condition_of(rule: Rule) -> Condition:
    """Return what a rule waits for."""
    return Condition(rule.field, rule.comparison, rule.value, rule.only_field, rule.only_value)


def _is_due(rule: Rule, message: DeviceMessage, value: str) -> bool:
    if _is_first(rule):
        return True
    return _is_time(rule, message.time) and condition_of(rule).holds(value, rule.told_value)


def _is_time(rule: Rule, now: datetime) -> bool:
    return rule.told_at is None or rule.told_at + timedelta(minutes=rule.every_minutes) <= now


def _is_about(rule: Rule, message: DeviceMessage) -> bool:
    return rule.api == message.api and rule.account_id == message.account_id and rule.comparison != Comparison.FAILS


def _is_about_failure(rule: Rule, command: FailedCommand) -> bool:
    return rule.comparison == Comparison.FAILS and rule.account_id == command.account_id and rule.api in {ANY, command.api}


def _is_first(rule: Rule) -> bool:
    """Say whether there is nothing yet that the value could differ from: it is remembered then, and nobody is told."""
    return rule.comparison == Comparison.CHANGES and rule.told_value is None


def _tell(due: Collection[Due]) -> None:
    asked = []
    with transaction.atomic():
        for one in due:
            rule, at = one.rule, one.message.time
            is_free = Q(told_at=None) | Q(told_at__lte=at - timedelta(minutes=rule.every_minutes))
            told_at = None if _is_first(rule) else at
            ours = Rule.objects.filter(is_free, pk=rule.pk, enabled=True).update(told_value=one.value, told_at=told_at)
            if ours and told_at:
                source = f"rule:{rule.hex}:{one.message.message_id.hex}"
                asked.append(_asked(rule, value=one.value, source=source, at=at, api=one.message.api))
        templates.dress(asked)
        kept = intake.keep([one.one for one in asked])
    for one in due:
        one.rule.told_at, one.rule.told_value = None if _is_first(one.rule) else one.message.time, one.value
    intake.announce(kept)


def _asked(
    rule: Rule, *, value: str | None, source: str, at: datetime, api: str = "", user: User | None = None, test: bool = False
) -> templates.Asked:
    one = intake.row(
        account_id=rule.account_id, device_id=rule.device_id, cause=Cause.RULE, source=source, recipient=rule.recipient,
        message=None, asked_at=at, user=user, urgent=rule.urgent or test,
    )  # fmt: skip
    return words_of(rule, one, value=value, api=api, test=test)


def words_of(rule: Rule, one: Notification, *, value: str | None = None, api: str = "", test: bool = False) -> templates.Asked:
    """Return what a notification by a rule is to say; without a value with an example of one."""
    fails = rule.comparison == Comparison.FAILS
    value = _example(rule) if value is None else value
    about: dict[str, Value] = {
        "device": rule.device.name, "api": api or rule.api, "field": rule.field, "value": phrase(value) if fails else value,
    }  # fmt: skip
    return templates.Asked(one, "command" if fails else "rule", about, own=rule.message, test=test)


def _example(rule: Rule) -> str:
    return rule.told_value or rule.value or ("no answer" if rule.comparison == Comparison.FAILS else "42")


def _hold(rule: Rule, *, is_new: bool) -> None:
    """Keep the device in its account, and the rule from being deleted, until it is saved: it must not come back."""
    device = Device.objects.live().select_for_update(no_key=True).filter(pk=rule.device_id, account=rule.account_id).first()
    if device is None:
        raise RuleRefused("device", "That device is not in this account any more.")
    if not is_new and Rule.objects.select_for_update(no_key=True).filter(pk=rule.pk).first() is None:
        raise RuleRefused("device", "That rule was deleted meanwhile.")


def _check(rule: Rule) -> None:
    """Make sure that a rule makes sense, and bring it into its normal form."""
    rule.api, rule.field = rule.api.strip(), rule.field.strip()
    if rule.api in _NOT_THESE:
        raise RuleRefused("api", "That one sends a notification by itself.")
    if rule.comparison in {Comparison.BELOW, Comparison.ABOVE} and as_number(rule.value) is None:
        raise RuleRefused("value", "Give a number.")
    if rule.comparison in {Comparison.CHANGES, Comparison.FAILS}:
        rule.value = ""
    if rule.comparison == Comparison.FAILS:
        rule.field, rule.only_field, rule.only_value = "outcome", "", ""
    if not rule.field:
        raise RuleRefused("field", "Say which field.")
    if bool(rule.only_field) != bool(rule.only_value):
        raise RuleRefused("only_value", "Give both the field and its value, or neither.")
    rule.message = clean_message(rule.message)[:1000]
    try:
        gaps.check(rule.message, RULE_VARIABLES)
    except gaps.UnknownGap as error:
        raise RuleRefused("message", str(error)) from error
    try:
        found = read(rule.recipient)
    except BadRecipient as error:
        raise RuleRefused("recipient", str(error)) from error
    rule.recipient = found.spelled
    if found.channel == Channel.DEVICE and rule.enabled:
        _check_circle(rule)


def _check_circle(rule: Rule) -> None:
    """Refuse a rule by which a device would, over others, write to itself: what one hears makes the next one speak, and so on."""
    pairs = Rule.objects.filter(account=rule.account_id, enabled=True).exclude(pk=rule.pk).values_list("device", "recipient")
    ways: dict[str, set[str]] = {}
    for device, recipient in pairs:
        ways.setdefault(device.hex, set()).add(recipient)
    seen: set[str] = set()
    todo = [rule.recipient]
    while todo:
        here = todo.pop()
        if here == rule.device_id.hex:
            raise RuleRefused("recipient", "By this rule the device would write to itself, in a circle.")
        if here not in seen:
            seen.add(here)
            todo.extend(ways.get(here, ()))


def _count(rule: Rule) -> None:
    if Rule.objects.filter(account=rule.account_id).count() >= PER_ACCOUNT:
        raise RuleRefused("device", f"An account has at most {PER_ACCOUNT} rules. Delete one first.")
    if Rule.objects.filter(device=rule.device_id).count() >= PER_DEVICE:
        raise RuleRefused("device", f"A device has at most {PER_DEVICE} rules. Delete one first.")
