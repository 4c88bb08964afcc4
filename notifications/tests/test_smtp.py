"""SMTP with PIPELINING, held against a server whose every answer is chosen."""

from __future__ import annotations

import re
import smtplib
import socket
import threading
from collections.abc import Iterator, Sequence
from email import message_from_bytes, policy
from uuid import uuid4

import pytest
from django.core.mail import BadHeaderError, EmailMultiAlternatives

from notifications.channels.base import Outgoing
from notifications.channels.email import compose
from notifications.channels.email.smtp import PipeliningBackend
from notifications.channels.email.writing import write

EHLO = b"250-here\r\n250-SIZE 1000000\r\n250 PIPELINING\r\n"
GO = b"354 go\r\n"
OK = b"250 OK\r\n"


class Scripted:
    """A server that answers what is sent in one go with what comes next in its script, and keeps what it was sent."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self.heard: list[bytes] = []
        self._answers = list(answers)
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(20)
        self.port = self._door.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        visitor, _ = self._door.accept()
        with visitor:
            visitor.settimeout(20)
            visitor.sendall(b"220 here\r\n")
            for answer in (EHLO, *self._answers):
                self.heard.append(visitor.recv(100_000))
                visitor.sendall(answer)

    def close(self) -> None:
        self._thread.join(20)
        self._door.close()


@pytest.fixture
def mail() -> EmailMultiAlternatives:
    return EmailMultiAlternatives("Hot", ".one\n..two", "portal@example.com", ["alice@example.com"])


@pytest.fixture
def servers() -> Iterator[list[Scripted]]:
    made: list[Scripted] = []
    yield made
    for one in made:
        one.close()


def send(servers: list[Scripted], mail: EmailMultiAlternatives, *answers: bytes) -> Scripted:
    servers.append(Scripted(answers))
    backend = PipeliningBackend(host="127.0.0.1", port=servers[0].port, timeout=20, use_tls=False, username="", password="")
    backend.open()
    try:
        backend.send_messages([mail])
    finally:
        backend.close()
    return servers[0]


def test_a_mail_takes_two_trips_and_arrives_as_it_is(servers: list[Scripted], mail: EmailMultiAlternatives) -> None:
    heard = send(servers, mail, OK + OK + GO, OK, b"221 bye\r\n").heard
    said = rb"MAIL FROM:<portal@example.com> size=\d+\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n"
    assert re.fullmatch(said, heard[1])
    assert b"\r\n\r\n..one\r\n...two\r\n--=_" in heard[2]
    assert heard[2].endswith(b"--\r\n.\r\n")
    assert heard[3] == b"quit\r\n"


@pytest.mark.parametrize(
    ("answers", "error", "after"),
    [
        ((b"550 you\r\n503 no\r\n503 no\r\n", OK), smtplib.SMTPSenderRefused, b"rset\r\n"),
        ((OK + b"550 no such\r\n554 no\r\n", OK), smtplib.SMTPRecipientsRefused, b"rset\r\n"),
        ((OK + b"550 no such\r\n" + GO, b"554 nobody\r\n", OK), smtplib.SMTPRecipientsRefused, b".\r\n"),  # RFC 2920, 3.1
        ((OK + OK + b"451 later\r\n", OK), smtplib.SMTPDataError, b"rset\r\n"),
        ((OK + OK + GO, b"552 too much\r\n", OK), smtplib.SMTPDataError, b""),
    ],
)
def test_what_is_refused_raises_as_ever_and_sends_nothing_more(
    servers: list[Scripted], mail: EmailMultiAlternatives, answers: Sequence[bytes], error: type[Exception], after: bytes
) -> None:
    with pytest.raises(error):
        send(servers, mail, *answers, b"221 bye\r\n")
    servers[0].close()
    assert servers[0].heard[2].startswith(after)
    assert [one for one in servers[0].heard if b"..one" in one] == ([] if after else servers[0].heard[2:3])


def test_a_server_that_closes_is_let_go_of(servers: list[Scripted], mail: EmailMultiAlternatives) -> None:
    with pytest.raises(smtplib.SMTPDataError):
        send(servers, mail, OK + OK + b"421 busy\r\n")


@pytest.mark.parametrize(
    ("subject", "text", "html"),
    [
        ("Pump: hot", "hot\n\nStop it: https://example.com", "<p>hot</p>"),
        ("Heiß 🌡️ " + "ж" * 60, "Heiß 🌡️\n" + "ж" * 3000, "<p>Heiß 🌡️</p>"),
        ("=?utf-8?q?x?= 100 %", "a" * 3000 + "\n.\n=3D =\n trailing \n", "<p>=E2 = </p>\t"),
        ("x", "--=_00\r\nFrom: b\rc\n", ""),
        ("x", "ж" * 300, ""),
    ],
)
def test_a_mail_is_read_as_it_was_meant(subject: str, text: str, html: str) -> None:
    mail = compose(Outgoing(uuid4(), "jörg@bücher.example", subject, text, html, "https://example.com/stop"))
    raw = write(mail)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    found, as_django = (message_from_bytes(one, policy=policy.default) for one in (raw, mail.message().as_bytes()))
    for name in ("Subject", "From", "To", "Message-ID", "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post"):
        assert found[name].strip() == as_django[name].strip()
    assert not found.defects
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    plain, *rest = found.iter_parts()
    assert plain.get_content().replace("\r\n", "\n").removesuffix("\n") == lines.removesuffix("\n")
    assert [one.get_content().removesuffix("\n") for one in rest] == ([html] if html else [])


def test_a_line_break_makes_no_header(mail: EmailMultiAlternatives) -> None:
    mail.subject = "Hot\nBcc: b@example.com"
    with pytest.raises(BadHeaderError):
        write(mail)


def test_no_address_brings_a_command_of_its_own(servers: list[Scripted]) -> None:
    hostile = EmailMultiAlternatives("Hot", "x", "portal@example.com", ["a@example.com>\r\nRCPT TO:<b@example.com"])
    with pytest.raises(ValueError, match="line break|Invalid|newline|address"):
        send(servers, hostile, b"221 bye\r\n")
    servers[0].close()
    assert servers[0].heard[0] == b"quit\r\n"
