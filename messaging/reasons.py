"""Why a device's connection ended, in words: the one place for pages, API and live events."""

from __future__ import annotations

# The codes are those of messaging.broker.connection.Reason, and "broker", which the bridge enters for everybody it took along.
_SHORT = {
    "goodbye": "Said goodbye",
    "lost": "Went without goodbye",
    "keepalive": "Fell silent",
    "protocol": "Broke the rules of MQTT",
    "stalled": "Stopped reading",
    "replaced": "Replaced by a second connection",
    "revoked": "Cut, its certificate was revoked",
    "expired": "Cut, its certificate has ended",
    "deleted": "Cut, the device was deleted",
    "operator": "Cut by an operator",
    "refused": "Cut, it is no longer let in",
    "kicked": "Cut by the portal",
    "broker": "The broker was restarted",
}
_LONG = {
    "goodbye": "It sent DISCONNECT, as a device does that leaves on purpose.",
    "lost": "The network or TLS broke, or the device lost its power.",
    "keepalive": "Nothing came for one and a half times its keepalive, so it was given up.",
    "protocol": "It sent a packet that MQTT or the broker's limits do not allow.",
    "stalled": "It did not take what was sent to it.",
    "replaced": "The same device id connected again; only the newer connection is kept.",
    "broker": "It is not the device's fault.",
}

OURS = frozenset({"broker", "revoked", "expired", "deleted", "operator", "refused", "kicked"})  # not the device's doing


def in_words(code: str) -> str:
    """Return a reason as a few words; one that is not known as it is."""
    return _SHORT.get(code, code.capitalize())


def explained(code: str) -> str:
    """Return what a reason means, in a sentence; empty where the few words say it all."""
    return _LONG.get(code, "")
