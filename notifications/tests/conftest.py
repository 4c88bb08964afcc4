"""A device of alice's, and requests of it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account
from devices.models import Device
from devices.tests.factories import make_account, make_device
from messaging.hooks import NotificationRequest
from notifications.models import Notification
from notifications.reactions import on_requests

Ask = Callable[..., Notification]


@pytest.fixture(autouse=True)
def _own_counters(clean_valkey: None, settings: Settings) -> None:
    """Count anew for each test, far from the limits unless it is about them."""
    settings.NOTIFICATIONS_PER_MINUTE = 1000


@pytest.fixture
def account(db: None, pki: Path) -> Account:
    return make_account("alice")


@pytest.fixture
def device(account: Account) -> Device:
    return make_device(account)


@pytest.fixture
def ask(device: Device) -> Ask:
    """Return what lets the device ask for a notification."""

    def say(recipient: str = "alice@example.org", message: str = "The pump stopped", **over: Any) -> Notification:
        about = {"message_id": uuid4(), "time": timezone.now(), "account_id": device.account_id, "device_id": device.pk, **over}
        request = NotificationRequest(recipient=recipient, message=message, **about)
        on_requests([request])
        return Notification.objects.get(source=f"message:{request.message_id.hex}")

    return say


class MailServer:
    """A real SMTP server whose answer to a mail can be chosen; it keeps what it took."""

    def __init__(self) -> None:
        self.answer = "250 OK"
        self.recipient_answer = "250 OK"
        self.taken: list[bytes] = []
        self.meanwhile: Callable[[], None] | None = None  # done when it has a mail whole, before it answers
        self.stall: threading.Event | None = None  # set while DATA is not answered
        self.pipelining = True
        self.arrived = threading.Event()

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return ["250-PIPELINING", *responses] if self.pipelining else responses

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        envelope.rcpt_tos.append(address)
        return self.recipient_answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.arrived.set()
        if self.meanwhile is not None:
            await asyncio.to_thread(self.meanwhile)
        if self.stall is not None:
            while not self.stall.is_set():
                await asyncio.sleep(0.01)
            return "451 not now"
        if self.answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.taken.append(envelope.content)
        return self.answer


@pytest.fixture
def mail_server(settings: Settings) -> Iterator[MailServer]:
    """Return a mail server that the portal sends to."""
    found = MailServer()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(found, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    yield found
    controller.stop()
