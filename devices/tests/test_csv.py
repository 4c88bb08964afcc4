"""No table that the portal hands out has a formula in it, whatever people and devices call things."""

from __future__ import annotations

import csv
import io
import re

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.models import Account
from devices.models import DeviceJob
from devices.tests.factories import make_device
from iotportal.csv_text import csv_lines


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_cell_that_begins_as_a_formula_becomes_a_text(sign: str) -> None:
    (row,) = csv.reader(io.StringIO(csv_lines([[f'{sign}cmd|"1"', -1, "a=1"]]), newline=""))
    assert row == [f'\'{sign}cmd|"1"', "-1", "a=1"]


def test_every_table_is_written_by_the_one_that_knows() -> None:
    apps = ("accounts", "billing", "devices", "iotportal", "messaging", "notifications")
    files = [path for app in apps for path in (settings.BASE_DIR / app).rglob("*.py") if "tests" not in path.parts]
    writers = [path.name for path in files if re.search(r"csv\.writer|DictWriter", path.read_text())]
    assert writers == ["csv_text.py"]


def test_the_result_of_a_job_and_its_claim_codes_have_no_formula(account: Account, client: Client) -> None:
    owner = account.members.get()
    job = DeviceJob.objects.create(account=account, by=owner, status="done", ended_at=timezone.now())
    for number, name in enumerate(("=1+1", "+49", "-1", "@SUM(A1)"), 1):
        job.lines.create(number=number, name=name, profile="standard", device=make_device(account, name))
        job.lines.create(number=number + 4, name=name, profile="standard", error=name)
    client.force_login(owner)
    result = client.get(f"/devices/jobs/{job.hex}/result/")
    codes = client.post(f"/devices/jobs/{job.hex}/claim-codes/", {"csv": "1"})
    for answer, lines in ((result, 8), (codes, 4)):
        rows = list(csv.reader(io.StringIO(answer.content.decode(), newline="")))[1:]
        assert len(rows) == lines
        assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
