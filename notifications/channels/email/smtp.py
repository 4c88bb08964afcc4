"""SMTP in two trips a mail instead of four, where the mail server takes several commands at once (PIPELINING, RFC 2920), and
mails written by `writing`.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
from collections.abc import Sequence
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend

from notifications.channels.email.writing import envelope, write

_LEADING_DOT = re.compile(rb"(?m)^\.")
Reply = tuple[int, bytes]


class _Pipelined(smtplib.SMTP):
    """Says MAIL, RCPT and DATA in one go; what is refused raises as smtplib has it."""

    def sendmail(
        self, from_addr: str, to_addrs: Any, msg: Any, mail_options: Sequence[str] = (), rcpt_options: Sequence[str] = ()
    ) -> dict[str, Reply]:
        """Send one mail. With more than one recipient, or to a server without the extension, it is smtplib's own."""
        self.ehlo_or_helo_if_needed()
        if len(to_addrs) != 1 or not isinstance(msg, bytes) or not self.has_extn("pipelining"):
            return super().sendmail(from_addr, to_addrs, msg, mail_options, rcpt_options)
        (to_addr,) = to_addrs
        size = f" size={len(msg)}" if self.has_extn("size") else ""
        commands = (f"MAIL FROM:{smtplib.quoteaddr(from_addr)}{size}", f"RCPT TO:{smtplib.quoteaddr(to_addr)}", "DATA")
        if any("\r" in one or "\n" in one for one in commands):
            raise ValueError("a line break in an address")
        self.send("".join(f"{one}\r\n" for one in commands))
        mail, rcpt, data = (self.getreply() for _ in commands)
        self._check(from_addr, to_addr, mail, rcpt, data)
        self._end(_LEADING_DOT.sub(b"..", msg) + (b"" if msg.endswith(b"\r\n") else b"\r\n"))
        return {}

    def _check(self, from_addr: str, to_addr: str, mail: Reply, rcpt: Reply, data: Reply) -> None:
        """Raise what smtplib does where one of the commands was refused."""
        refused = mail if mail[0] != 250 else rcpt if rcpt[0] not in {250, 251} else data if data[0] != 354 else None
        if refused is None:
            return
        if data[0] == 354:  # it waits for a mail all the same, and is given none (RFC 2920, 3.1)
            self.send(b".\r\n")
            self.getreply()
        self._leave(refused[0])
        if refused is mail:
            raise smtplib.SMTPSenderRefused(*mail, from_addr)
        if refused is rcpt:
            raise smtplib.SMTPRecipientsRefused({to_addr: rcpt})
        raise smtplib.SMTPDataError(*data)

    def _end(self, body: bytes) -> None:
        """Send what follows DATA, and take the server's word on the whole."""
        self.send(body + b".\r\n")
        code, words = self.getreply()
        if code != 250:
            self._leave(code)
            raise smtplib.SMTPDataError(code, words)

    def _leave(self, code: int) -> None:
        """Be ready for another mail, or let go of a server that closes."""
        if code == 421:
            self.close()
            return
        with contextlib.suppress(smtplib.SMTPServerDisconnected):  # the next mail finds that out
            self.rset()


class _PipelinedTls(_Pipelined, smtplib.SMTP_SSL):
    """The same over TLS from the start."""


class PipeliningBackend(EmailBackend):
    """Django's own, with such a connection, for mails that `notifications.channels.email.compose` made."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        """Return what the server is spoken to by."""
        return _PipelinedTls if self.use_ssl else _Pipelined

    def _send(self, email_message: EmailMultiAlternatives) -> bool:
        """Send one mail over the open connection. Raises as smtplib."""
        if self.connection is None:
            raise smtplib.SMTPServerDisconnected("the connection is not open")
        sender, (recipient,) = envelope(email_message.from_email), email_message.to
        self.connection.sendmail(sender, [envelope(recipient)], write(email_message))
        return True
