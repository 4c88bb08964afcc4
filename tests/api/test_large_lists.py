"""A list of devices of 10 MB, sent to the running server as a browser and as a program send it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.models import DeviceJob
from tests.api.live import LivePortal, committed

TEN_MB = 10_000_000
HEAD = b'--x\r\nContent-Disposition: form-data; name="csv_file"; filename="devices.csv"\r\nContent-Type: text/csv\r\n\r\n'
TYPE = {"Content-Type": "multipart/form-data; boundary=x"}


def pieces() -> Iterator[bytes]:
    """Yield a form with such a file, without its length."""
    yield HEAD
    for _ in range(TEN_MB // 10_000):
        yield b"Pump\r\n".ljust(10_000, b"x")
    yield b"\r\n--x--\r\n"


@pytest.mark.parametrize("body", [lambda: b"".join(pieces()), pieces], ids=["with its length", "in pieces"])
@pytest.mark.django_db
def test_ten_megabytes_are_refused_in_words_kept_nowhere_and_register_nothing(
    portal: LivePortal, body: Callable[[], Any]
) -> None:
    before = peak_kib(portal)
    page = portal.session().post(portal.url + "/devices/register/many/", data=body(), headers=TYPE, timeout=60)
    assert page.status_code == 413
    assert "a form may have 256 KiB" in page.text
    asked = portal.ask("POST", "/api/v1/device-jobs", data=body(), headers={"Content-Type": "application/json"})
    assert (asked.status_code, asked.json()["code"]) == (413, "too_large")
    assert peak_kib(portal) - before < 6 * 1024  # not one copy of either
    assert not committed(DeviceJob.objects.exists)
    assert portal.ask("GET", "/api/v1/device-jobs").status_code == 200


def peak_kib(portal: LivePortal) -> int:
    """Return the most memory that the web server has had, 0 where the system does not tell."""
    status = Path(f"/proc/{portal.processes['web'].pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
