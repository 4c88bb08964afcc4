"""The mail catcher: SMTP in, pages and JSON out."""

import http.client
import json
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any, NamedTuple

import pytest

from iotportal.embedded.mailcatcher import Mailbox
from iotportal.embedded.ports import free_port
from iotportal.embedded.stack import listens
from tests.embedded.helpers import wait_for


class Ports(NamedTuple):
    smtp: int
    page: int


@pytest.fixture(scope="module")
def ports() -> Iterator[Ports]:
    chosen = Ports(free_port(), free_port())
    words = ["--smtp-port", str(chosen.smtp), "--page-port", str(chosen.page), "--keep", "5"]
    with subprocess.Popen([sys.executable, "-m", "iotportal.embedded.mailcatcher", *words]) as process:
        try:
            wait_for(lambda: listens("127.0.0.1", chosen.smtp) and listens("127.0.0.1", chosen.page), "the mail catcher")
            yield chosen
        finally:
            process.terminate()


def send(ports: Ports, *, to: str = "ada@example.com", subject: str = "Your code", text: str = "123456", **more: Any) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "portal@example.com", to, subject
    message.set_content(text)
    if "html" in more:
        message.add_alternative(more["html"], subtype="html")
    if "attachment" in more:
        message.add_attachment(more["attachment"], maintype="application", subtype="zip", filename="device.zip")
    with smtplib.SMTP("127.0.0.1", ports.smtp) as link:
        link.send_message(message)


def get(ports: Ports, path: str, *, method: str = "GET", host: str = "127.0.0.1") -> tuple[http.client.HTTPResponse, str]:
    link = http.client.HTTPConnection("127.0.0.1", ports.page, timeout=10)
    try:
        link.request(method, path, headers={"Host": f"{host}:{ports.page}"})
        answer = link.getresponse()
        return answer, answer.read().decode()
    finally:
        link.close()


def newest(ports: Ports) -> dict[str, Any]:
    listed: list[dict[str, Any]] = json.loads(get(ports, "/messages.json")[1])
    full: dict[str, Any] = json.loads(get(ports, f"/messages/{listed[0]['id']}.json")[1])
    return full


def test_it_shows_a_sent_mail_as_json(ports: Ports) -> None:
    send(ports, to="grace@example.com", subject="Grüße ✓", text="Your code is 424242.\n", html="<p>424242</p>", attachment=b"zip")
    mail = newest(ports)
    assert mail["from"] == "portal@example.com"
    assert mail["to"] == ["grace@example.com"]
    assert mail["subject"] == "Grüße ✓"
    assert mail["text"].strip() == "Your code is 424242."
    assert mail["html"].strip() == "<p>424242</p>"
    assert mail["attachments"] == ["device.zip"]


def test_it_lists_the_newest_first_and_filters_by_recipient(ports: Ports) -> None:
    send(ports, to="ada@example.com", subject="first")
    send(ports, to="bob@example.com", subject="second")
    listed = json.loads(get(ports, "/messages.json")[1])
    assert [mail["subject"] for mail in listed[:2]] == ["second", "first"]
    only = json.loads(get(ports, "/messages.json?to=Bob@example.com")[1])
    assert {mail["to"][0] for mail in only} == {"bob@example.com"}


def test_it_keeps_a_bounded_number(ports: Ports) -> None:
    for number in range(7):
        send(ports, subject=f"number {number}")
    listed = json.loads(get(ports, "/messages.json")[1])
    assert [mail["subject"] for mail in listed] == [f"number {number}" for number in (6, 5, 4, 3, 2)]


def test_it_keeps_a_bounded_number_of_bytes() -> None:
    mailbox = Mailbox(keep=1000)
    for _ in range(40):
        mailbox.add("a@example.com", ["b@example.com"], b"x" * 4 * 1024 * 1024)
    assert sum(len(mail.raw) for mail in mailbox.newest_first()) <= 64 * 1024 * 1024


def test_a_page_shows_the_mail_with_everything_escaped_and_its_links_to_click(ports: Ports) -> None:
    send(ports, subject="<script>alert(1)</script>", text='<img src=x onerror="alert(2)"> http://127.0.0.1:8000/confirm?a=1&b=2.')
    listed, page = get(ports, "/")
    assert listed.status == 200
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    answer, page = get(ports, f"/messages/{newest(ports)['id']}")
    assert answer.status == 200
    assert "<img" not in page
    assert "<script" not in page
    assert '<a href="http://127.0.0.1:8000/confirm?a=1&amp;b=2" rel="noreferrer">' in page


def test_its_pages_allow_nothing_but_their_own_stylesheet(ports: Ports) -> None:
    answer, page = get(ports, "/")
    policy = answer.getheader("Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "style=" not in page
    styles, _ = get(ports, "/mailcatcher.css")
    assert styles.getheader("Content-Type") == "text/css; charset=utf-8"


def test_it_refuses_a_request_for_another_host(ports: Ports) -> None:
    # A web site that points its own name at 127.0.0.1 must not read the codes.
    assert get(ports, "/messages.json", host="evil.example.com")[0].status == 403
    assert get(ports, "/messages.json", host="localhost")[0].status == 200


@pytest.mark.parametrize(
    "path", ["/messages/999999", "/messages/0.json", "/messages/x", "/messages/1.zip", "/../etc/passwd", "/favicon.ico"]
)
def test_it_answers_404_for_what_it_has_not(ports: Ports, path: str) -> None:
    assert get(ports, path)[0].status == 404


def test_it_can_only_be_read(ports: Ports) -> None:
    answer, _ = get(ports, "/messages.json", method="DELETE")
    assert answer.status == 405
    assert answer.getheader("Allow") == "GET, HEAD"
    assert get(ports, "/", method="HEAD")[1] == ""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no headers at all",
        b"Subject: =?utf-8?b?broken?=\r\n\r\n\xff\xfe",
        b"Content-Type: text/plain; charset=no-such\r\n\r\nhello",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n--x--",
    ],
)
def test_a_broken_mail_breaks_no_page(ports: Ports, raw: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", ports.smtp) as link:
        link.sendmail("a@example.com", ["b@example.com"], raw)
    assert get(ports, "/")[0].status == 200
    assert get(ports, f"/messages/{newest(ports)['id']}")[0].status == 200


def test_it_takes_an_sms_as_twilio_would_and_shows_it(ports: Ports) -> None:
    from twilio.rest import Client

    client = Client("AC0", "caught")
    client.api.base_url = f"http://127.0.0.1:{ports.page}"
    sent = client.messages.create(to="+46701234567", from_="+15005550006", body="The pump <b>stopped</b> 🌡️")
    assert sent.sid.startswith("SM")
    assert newest(ports)["to"] == ["+46701234567"]
    page = get(ports, f"/messages/{newest(ports)['id']}")[1]
    assert "The pump &lt;b&gt;stopped&lt;/b&gt; 🌡️" in page
    assert get(ports, "/2010-04-01/Accounts/AC0/Messages.json", method="POST")[0].status == 400
    assert get(ports, "/2010-04-01/Accounts/AC0/Messages.json", method="POST", host="evil.example")[0].status == 403


def test_a_push_is_checked_decrypted_and_shown(ports: Ports) -> None:
    from py_vapid import Vapid02
    from pywebpush import WebPushException, webpush

    key = Vapid02()
    key.generate_keys()
    base = f"http://127.0.0.1:{ports.page}"
    about = {"endpoint": f"{base}/push/{'0' * 32}", "keys": json.loads(get(ports, "/push/keys.json")[1])}
    claims = {"sub": "mailto:portal@example.com"}
    said = json.dumps({"title": "Pump: hot", "text": "<b>now</b>", "url": "/notifications/1/"})
    assert webpush(about, said, key, dict(claims), ttl=60).status_code == 201
    assert newest(ports)["subject"] == "Push: Pump: hot"
    for wrong in ({**claims, "aud": "https://push.example.com"}, {**claims, "exp": 2**40}):
        with pytest.raises(WebPushException, match="403"):
            webpush(about, said, key, wrong, ttl=60)
