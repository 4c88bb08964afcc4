"""A fault of our own must cost one connection, never the broker."""

import logging

import pytest

from messaging.authorization import Identity
from messaging.tests.broker.conftest import DEVICE, OTHER
from messaging.tests.broker.wire import RunningBroker, connect_packet, publish_packet


def _broken(_identity: Identity, _action: str, topic: str) -> bool:
    raise RuntimeError(f"a fault in the rules at {topic}")


def test_a_fault_while_a_packet_is_handled_ends_that_connection(running: RunningBroker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    device, other = running.client(DEVICE), running.client(OTHER)
    running.broker.may = _broken
    device.send(publish_packet(f"server/{DEVICE}/x", b"top secret"))
    assert device.is_closed()
    other.ping()
    assert "a fault in the rules" in caplog.text
    assert "top secret" not in caplog.text


def test_a_fault_while_a_client_is_let_in_ends_that_connection(
    running: RunningBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    other = running.client(OTHER)
    monkeypatch.setattr(running.broker, "_make_room", lambda: 1 / 0)
    device = running.tls(DEVICE)
    device.send(connect_packet(DEVICE))
    assert device.is_closed()
    other.ping()
    assert "ZeroDivisionError" in caplog.text
