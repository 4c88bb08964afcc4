"""Whether the time that "Forgot user name or password" takes tells who has an account.

    .venv/bin/python -m bench.recover_timing [--pairs 1000] [--leak-us 0]

Runs the portal (PostgreSQL, Valkey, broker, worker, mail catcher, web server) and asks for a known and an unknown address in
turn, in an order that is drawn for each pair, each time from another address. Two times could tell: that of the form, and that of
a wrong code typed after it. For both, Mann–Whitney's U on all times, and a permutation test that flips the signs of the paired
differences (statistic: the mean of their middle 80 %), say how likely such a difference is by chance. If one of the four finds
what chance does in less than 1 of 400 runs, the bench exits 1.

`--leak-us` adds so many microseconds to the known addresses' times, to see that the tests would find them. What they can find is
printed as well: three standard errors of the difference.
"""

from __future__ import annotations

import argparse
import http.client
import math
import random
import statistics
import sys
import time
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from bench.portal import Portal, wait_until
from iotportal.embedded.ports import free_port
from iotportal.embedded.stack import listens, page_answers

CHANCE = 0.01 / 4  # there are four tests
PERMUTATIONS = 2000
PAUSE_S = 0.02  # so that the worker has done with the last mail, mostly
CSRF = "c" * 32
FORM, CODE = "/accounts/password/reset/", "/accounts/password/reset/confirm/"


@dataclass
class Times:
    """Milliseconds of one kind of request, paired."""

    known: list[float] = field(default_factory=list)
    unknown: list[float] = field(default_factory=list)


class Browser:
    """One connection to the web server; every request is a new browser behind a new address."""

    def __init__(self, port: int) -> None:
        self._link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._number = 0

    def recover(self, email: str) -> tuple[float, float]:
        """Ask for a code and type a wrong one; returns the milliseconds of both."""
        self._number += 1
        session, asked_ms = self._post(FORM, {"email": email}, "", 302)
        _, typed_ms = self._post(CODE, {"code": "x"}, session, 400)
        return asked_ms, typed_ms

    def _post(self, path: str, data: dict[str, str], session: str, expected: int) -> tuple[str, float]:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": f"csrftoken={CSRF}" + (f"; sessionid={session}" if session else ""),
            "X-Forwarded-For": f"10.{self._number >> 16}.{self._number >> 8 & 255}.{self._number & 255}",
        }
        body = urlencode({**data, "csrfmiddlewaretoken": CSRF})
        began = time.perf_counter()
        self._link.request("POST", path, body, headers)
        answer = self._link.getresponse()
        answer.read()
        took_ms = (time.perf_counter() - began) * 1000
        if answer.status != expected:
            raise RuntimeError(f"{path}: {answer.status}")
        cookies: SimpleCookie = SimpleCookie(answer.getheader("Set-Cookie", ""))
        return cookies["sessionid"].value if "sessionid" in cookies else session, took_ms


def measure(port: int, pairs: int) -> tuple[Times, Times]:
    """Return the times of the form and of the wrong code."""
    browser, form, code = Browser(port), Times(), Times()
    for number in range(-20, pairs):  # the first ones warm up
        whose = ["known", "unknown"]
        random.shuffle(whose)
        for one in whose:
            asked, typed = browser.recover(f"{one}{max(number, 0)}@example.org" if number >= 0 else f"warm{number}@example.org")
            if number >= 0:
                getattr(form, one).append(asked)
                getattr(code, one).append(typed)
            time.sleep(PAUSE_S)
    return form, code


def mann_whitney(one: list[float], other: list[float]) -> float:
    """Return the two-sided p of Mann and Whitney's U (normal approximation; ties are too rare to matter)."""
    ranks: dict[float, float] = {}
    values = sorted(one + other)
    for position, value in enumerate(values):
        ranks.setdefault(value, position + 1)
    n, m = len(one), len(other)
    u = sum(ranks[value] for value in one) - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


def middle(values: list[float]) -> float:
    """Return the mean of the middle 80 %."""
    cut = len(values) // 10
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def permutation(differences: list[float]) -> float:
    """Return the two-sided p of the sign-flip test."""
    found = abs(middle(differences))
    as_far = sum(
        abs(middle([value if random.getrandbits(1) else -value for value in differences])) >= found for _ in range(PERMUTATIONS)
    )
    return (as_far + 1) / (PERMUTATIONS + 1)


def report(what: str, times: Times) -> bool:
    """Print the finding; returns whether known and unknown addresses can be told apart."""
    differences = [known - unknown for known, unknown in zip(times.known, times.unknown, strict=True)]
    cut = sorted(differences)[len(differences) // 10 : -(len(differences) // 10) or None]
    eye_us = 3 * statistics.stdev(cut) / math.sqrt(len(cut)) * 1000
    u, flips = mann_whitney(times.known, times.unknown), permutation(differences)
    told = min(u, flips) < CHANCE
    print(
        f"{what:<12} known {statistics.median(times.known):6.2f} ms  unknown {statistics.median(times.unknown):6.2f} ms"
        f"  difference {middle(differences) * 1000:+7.1f} µs (seen from {eye_us:.0f} µs on)"
        f"  p: U {u:.3f}, permutation {flips:.3f}  {'CAN BE TOLD APART' if told else 'not distinguishable'}"
    )
    return told


def make_people(number: int) -> None:
    """Make the known addresses, as sign-up leaves them; nobody signs in, so the passwords may be quick to make."""
    from allauth.account.models import EmailAddress

    from accounts.models import User

    people = [
        User(username=f"known{one}", email=f"known{one}@example.org", first_name="K", last_name="N") for one in range(number)
    ]
    made = User.objects.bulk_create(people)
    EmailAddress.objects.bulk_create(EmailAddress(user=user, email=user.email, verified=True, primary=True) for user in made)


def main() -> int:
    """Measure, print, and say whether anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--leak-us", type=float, default=0.0)
    options = parser.parse_args()
    with DoorPortal() as portal:
        make_people(options.pairs)
        form, code = measure(portal.start_door(), options.pairs)
    for times in (form, code):
        times.known = [value + options.leak_us / 1000 for value in times.known]
    found = [report("the form", form), report("a wrong code", code)]
    return int(any(found))


class DoorPortal(Portal):
    """A portal whose pages people use, with mail."""

    def start_door(self) -> int:
        """Start mail catcher, web server and worker; returns the web server's port."""
        smtp, page, web = free_port(), free_port(), free_port()
        self.env |= {
            "PORTAL_BEHIND_PROXY": "1",
            "PORTAL_URL": f"http://127.0.0.1:{web}",
            "PORTAL_EMAIL_HOST": "127.0.0.1",
            "PORTAL_EMAIL_PORT": str(smtp),
            "PORTAL_LOG_LEVEL": "WARNING",
        }
        self._start_django("mail", "-m", "iotportal.embedded.mailcatcher", "--smtp-port", str(smtp), "--page-port", str(page))
        self._start_django("web", "-m", "iotportal.web", "--port", str(web))
        wait_until(lambda: listens("127.0.0.1", smtp), "the mail catcher's start")
        wait_until(lambda: page_answers("127.0.0.1", web), "the web server's start")
        self.start_worker()
        return web


if __name__ == "__main__":
    sys.exit(main())
