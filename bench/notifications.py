"""How fast what devices say reaches a mail server, and whether a kill -9 of the worker loses or doubles any of it.

    .venv/bin/python -m bench.notifications [--mails 2000] [--devices 10] [--rate 20] [--samples 200]
                                            [--kill] [--plain] [--silent 10]

A real broker, a real Celery worker with the bridge, PostgreSQL with fsync, and an SMTP server that takes several commands at once
(PIPELINING, as Postfix, Exim and the large providers do; `--plain`: it does not) and notes when it has taken which mail. Printed:
mails/s from the first publish to the last mail taken, what each process worked for a mail meanwhile (`bench` is the devices and
the mail server), and the time from a publish to its mail at a steady rate. `--kill`: the worker is killed once a third of the
mails are there, and started again; it waits for the claims to end (2 minutes). `--silent`: the devices have also posted
to so many webhooks that take the connection and answer nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import sys
import time
from collections import Counter
from typing import Any

import psutil
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from bench.portal import Portal, Talker, wait_until
from iotportal.embedded.ports import free_port

_NUMBER = re.compile(rb"mail-number-(\d+)")


class Taker:
    """Takes mails and notes when it had each."""

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain
        self.at: dict[int, float] = {}
        self.times: Counter[int] = Counter()

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        """Say what is understood."""
        session.host_name = hostname
        return responses if self._plain else ["250-PIPELINING", *responses]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002 - aiosmtpd's name
        """Take a mail."""
        found = _NUMBER.search(bytes(envelope.content or b""))  # type: ignore[arg-type]  # bytes, unless decode_data is set
        if found:
            number = int(found[1])
            self.at.setdefault(number, time.monotonic())
            self.times[number] += 1
        return "250 OK"


def say(talkers: list[Talker], recipient: str, numbers: range, rate: float = 0.0) -> dict[int, float]:
    """Have devices notify `recipient` in turn; returns when each was said."""
    began, said = time.monotonic(), {}
    for position, number in enumerate(numbers):
        if rate and (ahead := position / rate - (time.monotonic() - began)) > 0:
            time.sleep(ahead)
        said[number] = time.monotonic()
        body = json.dumps({"recipient": recipient, "message": f"mail-number-{number}"}).encode()
        talkers[number % len(talkers)].say("trigger_notification", body)
    return said


def measure(portal: Portal, taker: Taker, options: argparse.Namespace) -> dict[str, Any]:
    """Run the three parts."""
    from accounts.models import User

    devices = portal.register(options.devices)
    recipient = User.objects.latest("pk").email
    portal.start_worker()
    talkers = [portal.device(device) for device in devices]
    silent = [socket.create_server(("127.0.0.1", port)) for port in options.silent_ports]
    if silent:
        webhooks(User.objects.latest("pk"), options.silent_ports)
        for number in range(len(silent) * 5):
            say(talkers, f"webhook:silent{number % len(silent)}", range(number, number + 1))
    warm = range(10_000_000, 10_000_020)
    say(talkers, recipient, warm, 20)
    wait_until(lambda: all(number in taker.at for number in warm), "the first mails")
    result: dict[str, Any] = {}

    said = say(talkers, recipient, range(options.samples), options.rate)
    wait_until(lambda: all(number in taker.at for number in said), "all mails")
    took = sorted((taker.at[number] - at) * 1000 for number, at in said.items())
    result[f"publish to mail at {options.rate:.0f}/s"] = {
        "median_ms": round(took[len(took) // 2], 1), "p95_ms": round(took[int(len(took) * 0.95)], 1), "max_ms": round(took[-1], 1)
    }  # fmt: skip

    numbers = range(1_000_000, 1_000_000 + options.mails)
    began, worked = time.monotonic(), work(portal)
    said = say(talkers, recipient, numbers)
    if options.kill:
        wait_until(lambda: sum(number in taker.at for number in numbers) > options.mails / 3, "a third", 120)
        portal.kill("worker")
        portal.start_worker(name="worker2")
        wait_until(lambda: _push() or all(number in taker.at for number in numbers), "all mails", 400, every_s=2)
    else:
        wait_until(lambda: all(number in taker.at for number in numbers), "all mails", 300)
    seconds = max(taker.at[number] for number in numbers) - began
    doubled = sum(taker.times[number] > 1 for number in numbers)
    result["all at once"] = {"mails": options.mails, "per_second": round(options.mails / seconds), "doubled": doubled}
    if not options.kill:
        result["ms of processor a mail"] = {
            name: round((spent - worked[name]) * 1000 / options.mails, 2) for name, spent in work(portal).items()
        }
    for talker in talkers:
        talker.finish()
    return result


def webhooks(user: Any, ports: list[int]) -> None:
    """Add a webhook of a person's for each port on this machine, and what posting to them costs."""
    from django.test import override_settings

    from accounts.services import personal_account
    from billing.services import give_credits
    from notifications.services import named

    account = personal_account(user)
    give_credits(account=account, credits=100, reason="Bench", key="bench-notifications")
    with override_settings(OUTWARD_ORIGINS=frozenset(f"http://127.0.0.1:{port}" for port in ports)):
        for number, port in enumerate(ports):
            named.add_webhook(account=account, name=f"silent{number}", url=f"http://127.0.0.1:{port}/", user=user)


def work(portal: Portal) -> dict[str, float]:
    """Return the seconds that each process has worked, with those that it started."""
    roots = {name: psutil.Process(process.pid) for name, (process, _) in portal.processes.items()}
    spent = {"bench": sum(psutil.Process().cpu_times()[:2])}
    for name, root in roots.items():
        ended = sum(root.cpu_times()[2:4])
        spent[name] = ended + sum(sum(one.cpu_times()[:2]) for one in (root, *root.children(recursive=True)))
    return spent


def _push() -> bool:
    """Do what beat does every ten seconds."""
    from notifications.tasks import deliver

    deliver.delay()
    return False


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=2_000)
    parser.add_argument("--devices", type=int, default=10)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--silent", type=int, default=0)
    options = parser.parse_args()
    options.silent_ports = [free_port() for _ in range(options.silent)]
    taker, port = Taker(plain=options.plain), free_port()
    controller = Controller(taker, hostname="127.0.0.1", port=port)
    controller.start()
    with Portal() as portal:
        portal.env |= {
            "PORTAL_EMAIL_HOST": "127.0.0.1", "PORTAL_EMAIL_PORT": str(port),
            "PORTAL_OUTWARD_ORIGINS": ",".join(f"http://127.0.0.1:{one}" for one in options.silent_ports),
            "PORTAL_NOTIFICATIONS_PER_MINUTE": "1000000", "PORTAL_NOTIFICATIONS_PER_DAY": "1000000",
        }  # fmt: skip
        for name, values in measure(portal, taker, options).items():
            print(f"{name:28} {json.dumps(values)}")
    controller.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
