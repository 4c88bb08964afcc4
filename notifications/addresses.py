"""Reading a recipient as devices and people spell it: pure, text in, channel and normal form out."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from accounts import phones
from devices.access import parse_device_id
from notifications.models import ADDRESS_CHARACTERS, MESSAGE_CHARACTERS, Channel

SUBJECT_CHARACTERS = 78  # RFC 5322, 2.1.1: what a line should have at most
_NOT_IN_ADDRESSES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_DEAR = {phonenumbers.PhoneNumberType.PREMIUM_RATE, phonenumbers.PhoneNumberType.SHARED_COST}  # somebody earns by each
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")  # of a webhook or another service
_NAMED = {"webhook": Channel.WEBHOOK, "apprise": Channel.APPRISE}
_CUT = " […]"
_BLANKS = re.compile(r"\s+")
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # Unicode's Cc without the line feed, and Cs
# What turns the direction of all text after it, and what is not seen: with them a text can look like another.
_DECEIVING = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


class BadRecipient(ValueError):
    """A text that names nobody who could be written to."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where something goes: the channel, and the address in its normal form."""

    channel: Channel
    address: str

    @property
    def spelled(self) -> str:
        """The recipient as `read` takes it."""
        return f"{self.channel}:{self.address}" if self.channel in {Channel.PUSH, *_NAMED.values()} else self.address


@lru_cache(maxsize=1024)  # devices say the same few again and again
def read(text: str) -> Address:
    """Read a recipient: with `@` an e-mail address, with `+` a phone number (E.164), else a device id.

    `push:` is the owner's browsers, `push:` with the id of one of the account's people is theirs, `webhook:` and `apprise:` come
    before the name of what was added under that name.

    Raises:
        BadRecipient: it is none of them. Line breaks and other control characters are never taken out, they are refused.
    """
    text = text.strip(" ")
    if not text or len(text) > ADDRESS_CHARACTERS or any(unicodedata.category(one) in _NOT_IN_ADDRESSES for one in text):
        raise BadRecipient("That is no recipient.")
    kind, colon, name = text.partition(":")
    if colon and kind.lower() in {"push", *_NAMED}:
        return _named(kind.lower(), name.strip(" ").lower())
    if "@" in text:
        return Address(Channel.EMAIL, _email(text))
    if text.startswith("+"):
        try:
            number = phones.parse(text, "")
        except phones.NoPhoneNumber as error:
            raise BadRecipient(str(error)) from error
        if phonenumbers.number_type(phonenumbers.parse(number)) in _DEAR:
            raise BadRecipient("Premium-rate numbers are not written to.")
        return Address(Channel.SMS, number)
    device_id = parse_device_id(text)
    if device_id is None:
        raise BadRecipient("That is no e-mail address, phone number with +, device id, push:, nor webhook: with a name.")
    return Address(Channel.DEVICE, device_id.hex)


def _named(kind: str, name: str) -> Address:
    if kind != "push":
        if not NAME.fullmatch(name):
            raise BadRecipient(f"After {kind}: comes the name under which it was added.")
        return Address(_NAMED[kind], name)
    person = parse_device_id(name) if name else None
    if name and person is None:
        raise BadRecipient("push: goes to the owner's browsers, push: with a person's id to theirs.")
    return Address(Channel.PUSH, person.hex if person else "")


def _email(text: str) -> str:
    try:
        validate_email(text)
    except ValidationError as error:
        raise BadRecipient("That is no e-mail address.") from error
    local, _, domain = text.rpartition("@")
    if local.startswith('"') or "=?" in local or not local.isascii():  # other spellings of an address that may have said no
        raise BadRecipient("That is no e-mail address.")
    try:
        domain = domain.encode("idna").decode()
    except UnicodeError as error:
        raise BadRecipient("That is no e-mail address.") from error
    if len(local) + 1 + len(domain) > ADDRESS_CHARACTERS:  # it may have grown
        raise BadRecipient("That is no e-mail address.")
    return f"{local}@{domain}".lower()


def clean_message(text: str) -> str:
    """Return a message as it is kept and sent: no control characters but line breaks, nothing that deceives the eye, bounded."""
    text = _DECEIVING.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " "))
    text = _CONTROLS.sub("", text).strip()
    return text if len(text) <= MESSAGE_CHARACTERS else text[: MESSAGE_CHARACTERS - len(_CUT)] + _CUT


def one_line(text: str, limit: int = SUBJECT_CHARACTERS) -> str:
    """Return a text as one line for a subject, cut with … where it is longer."""
    line = _BLANKS.sub(" ", clean_message(text)).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
