"""Whoever must go goes at once, however long it takes to look at everybody. Without a RabbitMQ: it closes what it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from devices.models import Certificate, Device
from devices.services import delete_device, renew_certificate, revoke_certificate
from devices.tests.factories import make_account, make_device
from messaging.rabbitmq.warden import Warden
from messaging.tests.broker.wire import DEADLINE, wait_until
from messaging.tests.rabbitmq.slow_management import SlowManagement, slow_management


@pytest.fixture
def management(pki: Path, transactional_db: None, clean_valkey: None, settings: Settings) -> Iterator[SlowManagement]:
    with slow_management() as server:
        settings.BROKER, settings.RABBITMQ_URL = "rabbitmq", server.url
        yield server


def come(management: SlowManagement, device: Device, certificate: Certificate) -> str:
    """Have a device connected with a certificate, as RabbitMQ tells of it; return the connection's name."""
    name = f"10.0.0.9:{50000 + len(management.connections)} -> 10.0.0.1:8883"
    dates = f"{certificate.not_before:%Y-%m-%dT%H:%M:%SZ} - {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}"
    management.list(name, device, peer_cert_validity=dates)
    return f"/api/connections/{quote(name, safe='')}"


def test_a_revocation_does_not_wait_for_the_look_at_everybody(management: SlowManagement) -> None:
    pump, warden = make_device(make_account("alice")), Warden()
    warden.start()
    assert warden.listening.wait(DEADLINE)
    assert management.asked.wait(DEADLINE)  # and it gets no answer yet
    revoke_certificate(certificate=pump.certificates.get())
    wait_until(lambda: bool(management.closed), "the order to close it")
    assert management.closed == [f"/api/connections/username/{pump.hex}"]
    management.may_answer.set()
    warden.stop()


def test_everybody_is_looked_at_in_a_few_questions_and_those_alone_go_who_would_not_be_let_in(
    management: SlowManagement, settings: Settings
) -> None:
    account = make_account("alice")
    good = [make_device(account, name=f"Good {number}") for number in range(12)]
    for device in good:
        come(management, device, device.certificates.get())
    management.list("10.0.0.8:1 -> 10.0.0.1:8883", make_device(account, name="With a password"))
    management.may_answer.set()
    with CaptureQueriesContext(connection) as asked:
        Warden().look()
    assert len(asked) <= 3
    assert management.closed == []

    deleted, renewed = make_device(account, name="Deleted"), make_device(account, name="Renewed")
    gone = [come(management, deleted, deleted.certificates.get()), come(management, renewed, renewed.certificates.get())]
    old = renewed.certificates.get()
    settings.CERTIFICATE_DAYS = 300  # other dates, as those of a later second
    renew_certificate(device=renewed)
    come(management, renewed, renewed.certificates.exclude(pk=old.pk).get())
    revoke_certificate(certificate=old)
    delete_device(device=deleted)
    Warden().look()
    assert management.closed == gone
