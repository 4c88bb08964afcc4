"""Why a connection did not come about, in plain words, and what to do about it. No I/O but the clock."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _HOSTNAME_MISMATCH, _ADDRESS_MISMATCH = 9, 10, 62, 64

# MQTT 3.1.1, table 3.1: connect return codes as paho names their MQTT 5 twins.
CONNACK_WORDS = {
    132: ("the broker does not speak this protocol version", "Leave --protocol away, or give the other one."),
    133: ("the broker refused the client id", "It must be the id the certificate was made for: use the files of one download."),
    134: ("the broker refused this device", "It was revoked or deleted. Look at the device's page; download its zip again."),
    135: ("the broker refused this device", "It was revoked or deleted. Look at the device's page; download its zip again."),
    136: ("the broker cannot take devices now", "Wait a moment; this goes on trying."),
}

_RENEW = "Renew it on the device's page and download the zip again."
_LOOK_AT_PAGE = "It was revoked, deleted, or is another portal's. Look at the device's page."
_RIGHT_PORT = "Is it the right port? The broker's is usually 8883, the web page's is another."
_NO_TLS = "what listens there does not speak TLS"
_REFUSED_CERTIFICATE = "the broker refused this device's certificate"

# A part of OpenSSL's reason → what happened, what to do. The first that matches counts.
_TLS_WORDS = (
    ("CERTIFICATE_REVOKED", "the broker says this device's certificate is revoked", _RENEW),
    ("CERTIFICATE_EXPIRED", "the broker says this device's certificate has expired", _RENEW),
    ("UNKNOWN_CA", "the broker does not know who signed this device's certificate", _LOOK_AT_PAGE),
    ("CERTIFICATE_REQUIRED", "the broker saw no certificate", "Are device.crt and device.key of this download?"),
    ("BAD_CERTIFICATE", _REFUSED_CERTIFICATE, _LOOK_AT_PAGE),
    ("CERTIFICATE_UNKNOWN", _REFUSED_CERTIFICATE, _LOOK_AT_PAGE),
    ("ACCESS_DENIED", _REFUSED_CERTIFICATE, _LOOK_AT_PAGE),
    ("DECRYPT_ERROR", "device.crt and device.key do not belong together", "Use both files of one download."),
    ("PROTOCOL_VERSION", "the broker and this computer share no TLS version", "It wants TLS 1.2 or newer: update Python."),
    ("HANDSHAKE_FAILURE", "the broker and this computer share no cipher", "Update Python, or look at the broker's log."),
    ("WRONG_VERSION_NUMBER", _NO_TLS, _RIGHT_PORT),
    ("HTTP_REQUEST", _NO_TLS, _RIGHT_PORT),
    ("RECORD_LAYER_FAILURE", _NO_TLS, _RIGHT_PORT),
)


@dataclass(frozen=True)
class Diagnosis:
    """What happened and what to do. `refused`: trying again soon will not help."""

    what: str
    remedy: str
    refused: bool

    def __str__(self) -> str:
        """Return both sentences."""
        return f"{self.what}. {self.remedy}"


def explain(error: BaseException, *, host: str, port: int) -> Diagnosis:
    """Return what `error` means to the person who started the device. `error`: of resolving, TCP, TLS or reading."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_their_certificate(error, host)
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error)
    if isinstance(error, socket.gaierror):
        return Diagnosis(f"no computer is named {host}", "Check the name, the network, or give --host.", refused=True)
    if isinstance(error, ConnectionRefusedError):
        return Diagnosis(f"nothing listens on {host} port {port}", "Is the portal running, and is the port right?", refused=True)
    if isinstance(error, TimeoutError):
        return Diagnosis(f"{host} port {port} does not answer", "Check the network and the firewall.", refused=False)
    if isinstance(error, ConnectionResetError):
        return Diagnosis(
            "the broker hung up", "If it goes on: the device was revoked, or the port is not the broker's.", refused=False
        )
    return Diagnosis(f"the connection failed ({error})", "This goes on trying.", refused=False)


def explain_connack(code: int) -> Diagnosis:
    """Return what a refusing CONNACK means; `code` is paho's reason code (MQTT 5 numbers)."""
    what, remedy = CONNACK_WORDS.get(code, (f"the broker refused the connection (code {code})", "Look at the broker's log."))
    return Diagnosis(what, remedy, refused=code != 136)


HUNG_UP_EARLY = Diagnosis(
    "the broker closed the connection without a word",
    "Usually the device was revoked or deleted, or its id is not the certificate's. Look at the device's page.",
    refused=True,
)
SUBSCRIPTION_REFUSED = Diagnosis(
    "the broker refused the subscription to the device's own topics",
    "The device id is not the certificate's: use the files of one download.",
    refused=True,
)
SILENT_BROKER = Diagnosis(
    "the broker took the connection and then said nothing", "Is it overloaded? This goes on trying.", refused=False
)
LOST = Diagnosis("the connection was lost", "This connects again by itself.", refused=False)
TAKEN_OVER = Diagnosis(
    "the connection is cut again and again, right after it was made",
    "Is the same device running a second time, here or elsewhere? Only one can be connected.",
    refused=False,
)


def _explain_their_certificate(error: ssl.SSLCertVerificationError, host: str) -> Diagnosis:
    code = error.verify_code
    if code in (_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH):
        return Diagnosis(
            f"the broker's certificate is not made for the name {host}",
            "Use the name in config.json; for another address start the portal with HOST=that address, or give --host.",
            refused=True,
        )
    if code in (_NOT_YET_VALID, _EXPIRED):
        today = time.strftime("%d %B %Y, %H:%M UTC", time.gmtime())
        when = "is not valid yet" if code == _NOT_YET_VALID else "has expired"
        return Diagnosis(
            f"the broker's certificate {when}", f"This computer's clock says {today}: set it if that is wrong.", refused=True
        )
    return Diagnosis(
        "the broker's certificate is not signed by this root-ca.pem",
        "It is another portal, or the portal was set up anew: download the device's zip again.",
        refused=True,
    )


def _explain_tls(error: ssl.SSLError) -> Diagnosis:
    reason = (error.reason or "").upper().replace(" ", "_")
    for part, what, remedy in _TLS_WORDS:
        if part in reason:
            return Diagnosis(what, remedy, refused=True)
    if isinstance(error, ssl.SSLEOFError) or "EOF" in reason:
        return Diagnosis(
            "the other side hung up in the TLS greeting", "Is it the broker's port? Is the device revoked?", refused=True
        )
    return Diagnosis(f"TLS failed ({error.reason or error})", "Look at the broker's log.", refused=True)
