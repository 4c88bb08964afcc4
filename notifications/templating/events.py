"""What notifications are sent of, and what can be said of each: its variables, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from notifications.templating.languages import Value, counted, day, moment, number, phrase

_THEN = datetime(2026, 11, 5, 9, 40, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Variable:
    """Something that a template may name. `foreign`: a device or a person wrote it. `link`: an address of this portal."""

    name: str
    meaning: str
    example: Value
    foreign: bool = False
    link: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that notifications are sent of. `own_words`: somebody's own, which programs get as they are."""

    key: str
    label: str
    variables: tuple[Variable, ...]
    own_words: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its variables."""
        return tuple(one.name for one in self.variables)

    @property
    def links(self) -> frozenset[str]:
        """The names of those that are addresses."""
        return frozenset(one.name for one in self.variables if one.link)


_ACCOUNT = Variable("account", "the name of the account", "Alice's workshop", foreign=True)
_TIME = Variable("time", "when it happened", "2026-11-05 09:40:00 UTC")
_DEVICE = Variable("device", "the name of the device", "Pump", foreign=True)
_PAGE = Variable("page", "the address of the device's page", "https://portal.example.com/devices/", link=True)
_MESSAGE = Variable("message", "what is said", "The pump stopped", foreign=True)
_OUTAGE = (_DEVICE, _ACCOUNT, _PAGE, _TIME)
_RULE = (
    _DEVICE,
    Variable("api", "what the device said, or which command failed", "get_level", foreign=True),
    Variable("field", "the field that the rule looks at", "value", foreign=True),
    Variable("value", "what was found there, or how the command failed", "12", foreign=True),
    _TIME,
    _ACCOUNT,
)


def _known(*events: Event) -> dict[str, Event]:
    return {one.key: one for one in events}


EVENTS = _known(
    Event("device", "A device asked, or a person in its name", (_DEVICE, _MESSAGE, _ACCOUNT, _TIME), own_words=True),
    Event("person", "A person asked", (_MESSAGE, _ACCOUNT, _TIME), own_words=True),
    Event("offline", "A device is offline", (
        *_OUTAGE,
        Variable("since", "since when (UTC)", moment(_THEN)),
        Variable("limit", "how long it may be before somebody is told", counted(5, "minute")),
        Variable("reason", "why it went", phrase("Fell silent")),
    )),
    Event("back", "A device is back", (*_OUTAGE, Variable("after", "how long it was offline", counted(7, "minute")))),
    Event("certificate", "A certificate ends", (*_OUTAGE, Variable("ends", "the day on which it ends", day(_THEN)))),
    Event("credits", "Credits run out", (
        _ACCOUNT,
        Variable("left", "how many are left", counted(45, "credit")),
        Variable("below", "the number below which one is told", number(50)),
        Variable("page", "the address of the account's Subscription page", "https://portal.example.com/billing/", link=True),
        _TIME,
    )),
    Event("sign_in", "A sign-in from a new place", (
        Variable("person", "who signed in", "alice", foreign=True),
        Variable("browser", "what they say they use", "Firefox on Linux", foreign=True),
        Variable("place", "the address that they came from", "192.0.2.7"),
        Variable("page", "the address of their Account page", "https://portal.example.com/account/", link=True),
        _ACCOUNT,
        _TIME,
    )),
    Event("rule", "A rule holds", _RULE),
    Event("command", "A rule about commands that fail", _RULE),
    Event("test", "A rule is tried", (
        Variable("subject", "the subject that it would have", "Pump: value is 12", foreign=True),
        Variable("message", "what it would say", "Pump: value of get_level is 12.", foreign=True),
        _ACCOUNT,
        _TIME,
    )),
    Event("push", "A push is tried", (_ACCOUNT, _TIME)),
    Event("recipient", "A recipient is tried", (
        Variable("recipient", "to whom, as devices name it", "webhook:garage", foreign=True), _ACCOUNT, _TIME,
    )),
    Event("confirm", "An address is asked to confirm", (_ACCOUNT, _TIME)),
    Event("digest", "Several in one", (
        Variable("more", "how many there are", counted(6, "more notification")),
        Variable("who", "how many of them are from which device", "4 from Pump, 2 from Valve", foreign=True),
        Variable("last", "the last of them, a line each", "09:40:00 Pump: The pump stopped", foreign=True),
        _ACCOUNT,
        _TIME,
    )),
)  # fmt: skip
RULE_VARIABLES = EVENTS["rule"].names  # of people's own words for a rule, too
