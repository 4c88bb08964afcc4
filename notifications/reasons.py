"""Why a notification was refused, failed or waits: codes for programs, and the words for people."""

from __future__ import annotations

_WORDS = {
    # --- refused
    "bad_recipient": "That is no e-mail address, phone number with + and country, device id, push:, nor webhook: with a name.",
    "unconfirmed": "This address has not agreed to be written to. Add it under Recipients; it gets a link to confirm.",
    "unconfirmed_phone": "SMS go to confirmed phone numbers of your own people. Confirm the number in your account first.",
    "no_browser": "Nobody there has switched pushes on in a browser.",
    "unknown_name": "This account has no webhook or service of that name. Add it under Recipients.",
    "unsubscribed": "This address does not want to be written to any more.",
    "bounced": "Mail to this address came back before, so nothing is sent to it.",
    "complained": "Somebody at this address called an earlier message spam, so nothing is sent to it.",
    "operator": "The operator of this portal has blocked this address.",
    "too_many": "Too many in a short time. This one was left out.",
    "no_credits": "There are not enough credits.",
    "no_price": "This portal has no price for that, so it cannot be sent.",
    "no_sender": "This portal is not set up for that way of sending.",
    "not_yours": "That device belongs to somebody else, or there is none of that id.",
    "in_digest": "Too many in a short time: this one is told in a summary with the others.",
    "empty": "There was no message.",
    "quiet_hours": "Quiet hours: it is sent when they are over.",
    # --- failed, or tried again
    "refused_by_server": "The receiving side refused it.",
    "came_back": "The mail came back: that address does not take it.",
    "server_away": "The sending service does not answer.",
    "gave_up": "It was tried again and again, and could not be sent.",
    "unclear": "The connection broke while it was handed over, so nobody knows whether it went out. It was not sent twice.",
    "not_allowed": "That address leads to where the portal sends nothing.",
    "device_offline": "That device is not connected.",
    "device_cannot": "That kind of device cannot show notifications.",
    "too_long": "That device cannot take a message of that length.",
    "too_late": "It could not be sent in time.",
}


def in_words(code: str) -> str:
    """Return the sentence that people are shown; "" for no reason."""
    return _WORDS.get(code, code)
