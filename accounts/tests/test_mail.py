from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.core.mail import EmailMessage
from django.db import transaction

from accounts import code_channels, mail
from accounts.code_channels import Purpose
from accounts.models import User
from accounts.tests.helpers import code_in
from iotportal.embedded.ports import free_port


class Server:
    """A mail server that first answers what it is told to, then takes everything."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.tries = 0
        self.taken: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.tries += 1
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        self.taken.append(envelope)
        return "250 OK"


@pytest.fixture
def server(settings: Any) -> Iterator[Server]:
    server = Server()
    host, port = "127.0.0.1", free_port()
    controller = Controller(server, hostname=host, port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = host, port
    yield server
    controller.stop()


@pytest.mark.django_db(transaction=True)
def test_a_mail_server_that_is_busy_is_asked_again(server: Server) -> None:
    server.answers = ["451 later", "450 later"]
    mail.send("code", "alice@example.org", {"code": "123456", "purpose": "sign in", "user_name": "alice"})

    assert server.tries == 3
    [envelope] = server.taken
    assert envelope.rcpt_tos == ["alice@example.org"]
    assert "123456" in str(envelope.content)


@pytest.mark.django_db(transaction=True)
def test_a_refused_address_is_given_up_at_once_and_stays_out_of_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answers = ["550 no such person"]
    mail.send("code", "alice@example.org", {"code": "123456", "purpose": "sign in", "user_name": "alice"})

    assert (server.tries, server.taken) == (1, [])
    said = " ".join(record.getMessage() for record in caplog.records if record.name != "mail.log")  # the server's own
    assert "refused mail code" in said
    assert "alice@example.org" not in said
    assert "123456" not in said


@pytest.mark.django_db(transaction=True)
def test_no_mail_tells_of_what_was_taken_back(mailoutbox: list[EmailMessage]) -> None:
    with transaction.atomic():
        mail.send("code", "alice@example.org", {"code": "123456", "purpose": "sign in", "user_name": "alice"})
        assert mailoutbox == [], "it waits for the commit"
        transaction.set_rollback(True)

    assert mailoutbox == []


@pytest.mark.django_db(transaction=True)
def test_a_code_goes_by_mail_and_sms_is_not_set_up(alice: User, mailoutbox: list[EmailMessage]) -> None:
    channel = code_channels.find("email")
    assert channel is not None
    channel.send(user=alice, address=alice.email, code="042042", purpose=Purpose.SIGN_IN)

    assert code_in(mailoutbox[0]) == "042042"
    assert mailoutbox[0].subject == "Your code to sign in at IoT Portal"
    assert code_channels.find("sms") is None
