"""Plain words for what OpenSSL and sockets say."""

import socket
import ssl

import pytest

from simulators.diagnosis import explain, explain_connack


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "words", "refused"),
    [
        (ConnectionRefusedError(), "nothing listens on portal.example port 8883", True),
        (socket.gaierror(), "no computer is named portal.example", True),
        (TimeoutError(), "does not answer", False),
        (ConnectionResetError(), "hung up", False),
        (OSError("odd"), "odd", False),
        (tls_error("SSLV3_ALERT_CERTIFICATE_REVOKED"), "revoked", True),
        (tls_error("SSL/TLS_ALERT_BAD_CERTIFICATE"), "refused this device's certificate", True),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), "does not know who signed", True),
        (tls_error("WRONG_VERSION_NUMBER"), "does not speak TLS", True),
        (tls_error("UNEXPECTED_EOF_WHILE_READING"), "TLS greeting", True),
        (tls_error("SOMETHING_NEW"), "SOMETHING_NEW", True),
    ],
)
def test_it_says_what_happened(error: Exception, words: str, refused: bool) -> None:
    diagnosis = explain(error, host="portal.example", port=8883)
    assert words in str(diagnosis)
    assert diagnosis.refused is refused
    assert diagnosis.remedy


@pytest.mark.parametrize(("code", "refused"), [(133, True), (135, True), (136, False), (199, True)])
def test_it_says_why_the_broker_refused(code: int, refused: bool) -> None:
    assert explain_connack(code).refused is refused
