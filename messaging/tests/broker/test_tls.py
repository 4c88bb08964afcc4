"""TLS: who gets as far as speaking MQTT."""

import socket
import ssl
import warnings
from pathlib import Path

import pytest

from messaging.authorization import Identity, Refusal
from messaging.tests.broker.conftest import DEVICE, StartBroker
from messaging.tests.broker.pki import Authority
from messaging.tests.broker.wire import RunningBroker, connect_packet, wait_until


def _is_turned_away(running: RunningBroker, context: ssl.SSLContext) -> str:
    """Return the TLS error with which a client is refused; TLS 1.3 clients only learn it when they read."""

    def read_to_the_end() -> None:
        wire = running.tls(None, context)
        wire.send(connect_packet(DEVICE))
        while wire.socket.recv(100):
            pass
        raise ConnectionError("closed")

    with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
        read_to_the_end()
    assert running.broker.connected() == set()
    return str(caught.value)


def test_it_lets_a_device_in_that_trusts_only_the_root(running: RunningBroker) -> None:
    # The client's context knows root-ca.pem alone, so the broker must have sent the issuing certificate.
    running.client(DEVICE).ping()
    assert running.broker.connected() == {DEVICE}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_it_speaks_tls_1_2_and_1_3(running: RunningBroker, authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.context(DEVICE)
    context.minimum_version = context.maximum_version = version
    wire = running.tls(DEVICE, context)
    assert wire.connect(DEVICE) == 0
    wire.ping()


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"])
def test_it_takes_the_ciphers_of_small_boards(running: RunningBroker, authority: Authority, cipher: str) -> None:
    context = authority.context(DEVICE)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    assert running.tls(DEVICE, context).connect(DEVICE) == 0


def test_it_refuses_tls_1_1(running: RunningBroker, authority: Authority) -> None:
    context = authority.context(DEVICE)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert "PROTOCOL_VERSION" in _is_turned_away(running, context)


def test_it_refuses_a_client_without_a_certificate(running: RunningBroker, authority: Authority) -> None:
    assert "CERTIFICATE_REQUIRED" in _is_turned_away(running, authority.context(None))


def test_it_refuses_a_certificate_of_another_ca(running: RunningBroker, authority: Authority, rogue: Authority) -> None:
    context = authority.context(None)
    context.load_cert_chain(*rogue.issue(DEVICE))
    # That CA bears the names of ours, so it is the signature that does not fit.
    assert "ALERT_DECRYPT_ERROR" in _is_turned_away(running, context)


def test_it_leaves_an_ended_certificate_to_admission(start: StartBroker, authority: Authority) -> None:
    ended = "e" * 32

    async def admit(*_: str) -> Identity | Refusal:
        return Refusal("ended")

    running = start(admit=admit)
    context = authority.context(None)
    context.load_cert_chain(*authority.issue(ended, days=-1))
    assert running.tls(None, context).connect(ended) == 5
    assert running.broker.refusals == {ended: 1}


def test_it_refuses_an_ended_certificate_of_another_ca(running: RunningBroker, authority: Authority, rogue: Authority) -> None:
    context = authority.context(None)
    context.load_cert_chain(*rogue.issue("f" * 32, days=-1))
    assert "ALERT_DECRYPT_ERROR" in _is_turned_away(running, context)


def test_it_refuses_a_server_certificate_as_a_clients(running: RunningBroker, authority: Authority) -> None:
    context = authority.context(None)
    context.load_cert_chain(*authority.issue("server", server=True))
    assert "UNSUPPORTED_CERTIFICATE" in _is_turned_away(running, context)


def test_it_closes_a_socket_on_which_no_tls_begins(start: StartBroker) -> None:
    running = start(handshake_seconds=0.2)
    assert running.plain().is_closed()


def test_it_closes_a_socket_that_says_nothing_after_tls(start: StartBroker) -> None:
    running = start(connect_seconds=0.2)
    assert running.tls(DEVICE).is_closed()


def test_it_closes_a_socket_that_says_half_a_connect(start: StartBroker) -> None:
    running = start(connect_seconds=0.2)
    wire = running.tls(DEVICE)
    wire.send(connect_packet(DEVICE)[:-5])
    assert wire.is_closed()


def test_it_serves_others_while_silent_sockets_wait(running: RunningBroker) -> None:
    silent = [running.plain() for _ in range(20)] + [running.tls("c" * 32) for _ in range(5)]
    running.client(DEVICE).ping()
    for wire in silent:
        wire.die()


def test_it_closes_what_speaks_no_tls_at_all(running: RunningBroker) -> None:
    wire = running.plain()
    wire.send(connect_packet(DEVICE) + b"\0" * 2000)
    assert wire.is_closed()
    running.client(DEVICE).ping()


def test_every_socket_sends_without_delay(running: RunningBroker) -> None:
    running.client(DEVICE)

    def delayed() -> list[int]:
        transports = [connection._transport for connection in running.broker._sockets]
        sockets = [transport.get_extra_info("socket") for transport in transports if transport]
        return [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in sockets]

    assert running.call(delayed) == [1]


def test_it_refuses_more_sockets_than_it_may_have(start: StartBroker) -> None:
    running = start(connections=2)
    first, second = running.client(DEVICE), running.client("b" * 32)
    assert running.plain().is_closed()
    second.die()
    wait_until(lambda: running.broker.connected() == {DEVICE})
    running.client("c" * 32).ping()
    first.ping()


def test_it_says_when_a_key_does_not_fit(authority: Authority, rogue: Authority) -> None:
    from messaging.broker.tls import server_context

    certificate, _ = authority.issue("server", server=True)
    _, key = rogue.issue("server", server=True)
    with pytest.raises(ssl.SSLError):
        server_context(certificate, key, [authority.root])
    with pytest.raises(FileNotFoundError):
        server_context(Path("nowhere.pem"), key, [authority.root])
