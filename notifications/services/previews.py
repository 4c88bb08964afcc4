"""What a template or a rule would say, before it counts: shown, and sent to who asks alone."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from django.utils import timezone

from accounts.models import Account, User
from accounts.services import personal_account
from devices.models import Device
from iotportal.uuid7 import uuid7
from notifications import gaps
from notifications.addresses import clean_message
from notifications.channels.base import Outgoing
from notifications.channels.sms import CHARACTERS
from notifications.models import Cause, Channel, Notification, Rule, Status, Template
from notifications.reasons import in_words
from notifications.rendering import outgoing
from notifications.segments import parts
from notifications.services import estimates, intake, rules, templates
from notifications.templating.drafts import Words
from notifications.templating.events import EVENTS, RULE_VARIABLES


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be sent: a mail, and an SMS with the number of its parts."""

    mail: Outgoing
    words: Words
    sms: str
    parts: int


def of_template(template: Template) -> Preview:
    """Return what a template that was checked says, with the examples of its variables."""
    words = templates.example(template)
    account = Account(pk=uuid4(), name="Alice's workshop")
    device = Device(name="Pump", account=account) if "device" in EVENTS[template.event].names else None
    one = Notification(
        account=account, device=device, channel=Channel.EMAIL, address="you@example.com", cause=_cause(template.event),
        asked_at=timezone.now(),
    )  # fmt: skip
    sms = words.short[:CHARACTERS]
    return Preview(outgoing(_worded(one, template, words)), words, sms, parts(sms))


@dataclass(frozen=True, slots=True)
class RulePreview:
    """What a rule would say: the notification, in which language, and what it costs. `wrong`: why it cannot say that."""

    one: Notification
    language: str = ""
    cost: str = ""
    wrong: str = ""


def of_rule(rule: Rule | None, user: User) -> RulePreview | None:
    """Return what a rule that is not kept yet would say to its recipient, or to `user` while it has none."""
    if rule is None:
        return None
    rule.api, rule.field, rule.message = rule.api or "get_level", rule.field or "level", clean_message(rule.message)
    one = intake.row(
        account_id=rule.account_id, cause=Cause.RULE, source="", recipient=rule.recipient or user.email, message=None
    )
    try:
        gaps.check(rule.message, RULE_VARIABLES)
    except gaps.UnknownGap as error:
        return RulePreview(one, wrong=str(error))
    if one.status != Status.QUEUED:
        return RulePreview(one, wrong=in_words(one.reason))
    templates.dress([rules.words_of(rule, one)])
    one.account = rule.device.account
    return RulePreview(one, templates.languages()[one.language], estimates.sentences([one])[0])


def send(*, template: Template, user: User) -> Notification:
    """Mail somebody what a template says, with the examples of its variables."""
    one = intake.row(
        account_id=personal_account(user).pk, cause=Cause.PERSON, source=f"template:{uuid7().hex}", recipient=user.email,
        message=None, user=user,
    )  # fmt: skip
    kept = intake.keep([_worded(one, template, templates.example(template))])
    intake.announce(kept)
    return kept[0]


def _worded(one: Notification, template: Template, words: Words) -> Notification:
    one.subject, one.message, one.html, one.language = words.subject, words.text, words.html, template.language
    return one


def _cause(event: str) -> Cause:
    return Cause(event) if event in Cause.values else Cause.PERSON
