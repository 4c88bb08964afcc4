"""Registering many devices: nothing by halves, no line twice, whatever becomes of the worker; and the files at the end."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.http import Http404
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account, Membership, User
from devices import hooks, services
from devices.access import Action, access_job
from devices.job_files import archive, open_command, result_csv
from devices.models import Device, DeviceEvent, DeviceJob
from devices.services import begin_job, cancel_job, work_on
from devices.services.jobs import CHUNK, TRIES
from devices.tests.factories import at_once, make_account, make_device, make_member
from devices.wanted import MAX_CSV_BYTES, MAX_LINES, LinesRefused, ListRefused, Wanted, numbered, read_csv
from iotportal.celery import app

Status = DeviceJob.Status


def owner(account: Account) -> User:
    return account.memberships.get(role="owner").user


def begin(account: Account, count: int = 3, pattern: str = "Pump {n}") -> DeviceJob:
    return begin_job(account=account, wanted=numbered(pattern, count), by=owner(account))


def worked(job: DeviceJob) -> DeviceJob:
    work_on(job_id=job.pk)
    job.refresh_from_db()
    return job


# --- what is wanted ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"name,profile\nPump,modern\nLamp,\n",
        b"\xef\xbb\xbfName;Profile\r\nPump;modern\r\n\r\nLamp;\r\n",
        b"Pump,modern\nLamp",
        b'"Pump",modern\n "Lamp"\n'.replace(b' "Lamp"', b'"Lamp"'),
    ],
)
def test_a_csv_file_is_read_as_spreadsheets_write_it(content: bytes) -> None:
    assert [(one.name, one.profile) for one in read_csv(content)] == [("Pump", "modern"), ("Lamp", "standard")]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"x" * (MAX_CSV_BYTES + 1), "too large"),
        ("Pümp".encode("latin-1"), "UTF-8"),
        (b'"Pump\n', "not CSV"),
        (b"Pump,standard,more\n", "two columns"),
        (b"".join(b"Pump %d\n" % n for n in range(MAX_LINES + 1)), "at most 1,000"),
        (b"x" * 140_000, "not CSV"),
    ],
)
def test_a_file_that_is_no_list_is_refused_as_a_whole(content: bytes, word: str) -> None:
    with pytest.raises(ListRefused, match=word):
        read_csv(content)


@pytest.mark.parametrize(
    ("pattern", "count", "first"), [("Pump", 2, 1), ("P{n}", 0, 1), ("P{n}", MAX_LINES + 1, 1), ("P{n}", 1, -1)]
)
def test_a_pattern_needs_a_place_for_the_number_and_a_count_within_reason(pattern: str, count: int, first: int) -> None:
    with pytest.raises(ListRefused):
        numbered(pattern, count, first)


def test_every_bad_line_is_told_and_nothing_is_made(account: Account) -> None:
    make_device(account, "Taken")
    lines = ["Good", "TAKEN", "good", "", "bad\x07", "x" * 81]
    wanted = [Wanted(number, name) for number, name in enumerate(lines, 1)] + [Wanted(7, "Odd", "no-such-kind")]
    with pytest.raises(LinesRefused) as refused:
        begin_job(account=account, wanted=wanted, by=owner(account))
    assert [one.number for one in refused.value.problems] == [2, 3, 4, 5, 6, 7]
    assert not DeviceJob.objects.exists()
    assert account.devices.count() == 1


# --- the work ----------------------------------------------------------------------------------------------------------------


def test_a_job_registers_each_line_once_with_all_that_a_registration_makes(account: Account) -> None:
    job = worked(begin(account, CHUNK + 3))
    assert job.status == Status.DONE
    assert job.ended_at is not None
    assert account.devices.count() == CHUNK + 3
    device = account.devices.get(name="Pump 7")
    assert device.certificates.get().sealed_key is not None
    assert device.events.get().detail["by"] == "alice"
    assert device.presence.connected is False
    work_on(job_id=job.pk)
    assert account.devices.count() == CHUNK + 3


def test_a_name_that_was_taken_meanwhile_fails_its_line_alone(account: Account) -> None:
    job = begin(account)
    make_device(account, "pump 2")
    assert worked(job).status == Status.DONE
    assert [bool(line.error) for line in job.lines.all()] == [False, True, False]


def test_a_cancelled_job_keeps_what_it_has_made_and_makes_no_more(account: Account) -> None:
    job = begin(account, CHUNK + 5)
    services.jobs._register_chunk(job.pk)
    for _ in range(2):
        cancel_job(job=job)
    assert worked(job).status == Status.CANCELLED
    assert account.devices.count() == job.lines.exclude(device=None).count() == CHUNK


def test_an_account_has_one_job_at_a_time(account: Account) -> None:
    first = begin(account)
    with pytest.raises(services.JobUnderWay):
        begin(account, pattern="Lamp {n}")
    cancel_job(job=first)
    begin(account, pattern="Lamp {n}")


def test_a_job_stops_when_who_began_it_may_not_register_devices_any_more(account: Account) -> None:
    admin = make_member(account, "bob", "admin")
    job = begin_job(account=account, wanted=numbered("Pump {n}", 3), by=admin)
    Membership.objects.filter(user=admin, account=account).update(role="operator")
    assert worked(job).status == Status.STOPPED
    assert "may not register" in job.why
    assert not account.devices.exists()


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_one_job_register_no_line_twice(pki: Path, clean_valkey: None) -> None:
    account = make_account("alice")
    job = begin(account, 2 * CHUNK)
    assert at_once(*[lambda: work_on(job_id=job.pk)] * 2) == [None, None]
    assert worked(job).status == Status.DONE
    assert account.devices.count() == 2 * CHUNK
    assert not job.lines.filter(device=None).exists()


WORKER = """
import sys
from uuid import UUID
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"], settings.PKI_DIR = sys.argv[1], __import__("pathlib").Path(sys.argv[2])
django.setup()
from devices import hooks
from devices.services import jobs
jobs.CHUNK = 5
hooks.device_registered.register(lambda device: print(device.name, flush=True))
jobs.work_on(job_id=UUID(sys.argv[3]))
"""


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_leaves_every_line_registered_or_not_and_the_next_one_ends_the_job(
    pki: Path, clean_valkey: None
) -> None:
    account = make_account("alice")
    job = begin(account, 40)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "iotportal.settings", "PYTHONPATH": str(django_settings.BASE_DIR)}
    command = [sys.executable, "-c", WORKER, str(connection.settings_dict["NAME"]), str(django_settings.PKI_DIR), str(job.pk)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as worker:  # noqa: S603 - our own
        assert worker.stdout is not None
        for _ in range(13):  # in the middle of the third chunk
            assert worker.stdout.readline().startswith("Pump ")
        worker.send_signal(signal.SIGKILL)
    with transaction.atomic():  # once PostgreSQL has seen that its client is gone
        DeviceJob.objects.select_for_update().get(pk=job.pk)
    made = Device.objects.count()
    assert made in {10, 15, 20, 25, 30, 35, 40}
    assert job.lines.exclude(device=None).count() == made
    app.tasks[str(django_settings.CELERY_BEAT_SCHEDULE["look-after-jobs"]["task"])]()
    assert worked(job).status == Status.DONE
    assert sorted(account.devices.values_list("name", flat=True)) == sorted(f"Pump {n}" for n in range(1, 41))
    assert DeviceEvent.objects.filter(kind="registered").count() == 40


def test_what_nobody_foresaw_is_tried_a_few_times_and_then_the_job_stops_with_words(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = begin(account, CHUNK + 1)
    services.jobs._register_chunk(job.pk)

    def broken(device: Device) -> None:
        raise RuntimeError("out of order")

    with monkeypatch.context() as later:
        later.setattr(hooks.device_registered, "_handlers", [broken])
        for _ in range(TRIES - 1):
            with pytest.raises(RuntimeError):
                work_on(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.failures) == (Status.RUNNING, TRIES - 1)
    assert worked(job).failures == 0  # it goes again, and the count begins anew
    other = begin(account, 2, pattern="Lamp {n}")
    monkeypatch.setattr(hooks.device_registered, "_handlers", [broken])
    for _ in range(TRIES):
        with pytest.raises(RuntimeError):
            work_on(job_id=other.pk)
    work_on(job_id=other.pk)  # nothing more
    other.refresh_from_db()
    assert (other.status, other.failures) == (Status.STOPPED, TRIES)
    assert "again and again" in other.why
    assert account.devices.count() == CHUNK + 1


def test_an_old_job_is_forgotten_and_its_devices_stay(account: Account, settings: Settings) -> None:
    job = worked(begin(account))
    assert services.forget_jobs() == 0
    DeviceJob.objects.update(ended_at=timezone.now() - timedelta(days=settings.DEVICE_JOB_DAYS, seconds=1))
    assert services.forget_jobs() == 1
    assert not DeviceJob.objects.filter(pk=job.pk).exists()
    assert account.devices.count() == 3


# --- the files ---------------------------------------------------------------------------------------------------------------


def test_openssl_opens_the_archive_with_the_command_that_the_page_shows(account: Account, tmp_path: Path) -> None:
    job = worked(begin(account))
    made = archive(job, "correct horse battery")
    (tmp_path / made.filename).write_bytes(made.content)
    assert job.archive_sha256 == hashlib.sha256(made.content).hexdigest()
    assert b"PRIVATE KEY" not in made.content
    for password, opens in (("correct horse battery", True), ("wrong", False)):
        command = [*open_command(job).split(), "-pass", f"pass:{password}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)  # noqa: S603 - as the page has it
        assert (done.returncode == 0 and zipfile.is_zipfile(tmp_path / made.filename.removesuffix(".enc"))) is opens
        if opens:
            with zipfile.ZipFile(tmp_path / made.filename.removesuffix(".enc")) as whole:
                assert len(whole.namelist()) == 3 * 5
                assert account.devices.get(name="Pump 2").hex in whole.read("0002-pump-2/config.json").decode()
                assert b"PRIVATE KEY" in whole.read("0002-pump-2/device.key")


def test_the_archive_names_the_devices_whose_key_is_gone_and_leaves_out_deleted_ones(account: Account) -> None:
    job = worked(begin(account))
    services.forget_key(device=account.devices.get(name="Pump 1"))
    services.delete_device(device=account.devices.get(name="Pump 2"))
    with patch("devices.job_files._encrypted", lambda content, password: content):
        content = archive(job, "x" * 12).content
    with zipfile.ZipFile(io.BytesIO(content)) as whole:
        assert {name.partition("/")[0] for name in whole.namelist()} == {"0003-pump-3", "MISSING.txt"}
        assert "Pump 1" in whole.read("MISSING.txt").decode()
    services.forget_key(device=account.devices.get(name="Pump 3"))
    with pytest.raises(services.KeyUnavailable):
        archive(job, "x" * 12)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(1)"])
def test_no_cell_of_the_result_is_taken_for_a_formula(account: Account, name: str) -> None:
    job = worked(begin_job(account=account, wanted=[Wanted(1, name)], by=owner(account)))
    line = result_csv(job).content.decode().splitlines()[1]
    assert line.startswith(f"1,'{name},standard,registered,")


# --- who may, and the page -----------------------------------------------------------------------------------------------------


def test_a_job_is_its_accounts_alone(account: Account) -> None:
    job = begin(account)
    with pytest.raises(Http404):
        access_job(make_account("mallory").memberships.get().user, job.hex)
    viewer = make_member(account, "vera", "viewer")
    assert access_job(viewer, job.hex) == job
    with pytest.raises(Exception, match="role"):
        access_job(viewer, job.hex, Action.MANAGE)


@pytest.fixture
def browser(client: Client, account: Account) -> Client:
    client.force_login(owner(account))
    return client


def test_a_file_becomes_a_job_whose_page_says_how_far_it_is(browser: Client, account: Account) -> None:
    file = SimpleUploadedFile("devices.csv", b"name,profile\n<b>Pump</b>,modern\nLamp,\n")
    answer = browser.post("/devices/register/many/", {"profile": "standard", "csv_file": file})
    job = DeviceJob.objects.get()
    assert answer["Location"] == f"/devices/jobs/{job.hex}/"
    running = browser.get(answer["Location"])
    assert "every 1s" in running.content.decode()
    assert "Take them home" not in running.content.decode()
    work_on(job_id=job.pk)
    assert browser.get(answer["Location"], headers={"HX-Request": "true"})["HX-Refresh"] == "true"
    done = browser.get(answer["Location"]).content.decode()
    assert "<b>2</b> of 2 registered" in done
    assert "openssl enc -d" in done
    assert browser.get(answer["Location"] + "result/").content.decode().count("registered") == 2
    assert browser.post(answer["Location"] + "archive/", {"password": "short"}).status_code == 400
    archived = browser.post(answer["Location"] + "archive/", {"password": "long enough 1"})
    assert archived.content.startswith(b"Salted__")
    job.refresh_from_db()
    assert job.archive_sha256 in browser.get(answer["Location"]).content.decode()


@pytest.mark.parametrize("content", [b"Pump\n" + b"x," * MAX_CSV_BYTES, b"Pump\nPump\n", b"=\x00\n", b"\n"])
def test_a_file_that_cannot_be_taken_is_answered_with_what_is_wrong(browser: Client, content: bytes) -> None:
    file = SimpleUploadedFile("devices.csv", content)
    assert browser.post("/devices/register/many/", {"profile": "standard", "csv_file": file}).status_code == 400
    assert not DeviceJob.objects.exists()


def test_a_viewer_sees_the_job_but_cancels_nothing_and_gets_no_key(client: Client, account: Account) -> None:
    job = worked(begin(account))
    client.force_login(make_member(account, "vera", "viewer"))
    page = f"/devices/jobs/{job.hex}/"
    assert "Take them home" not in client.get(page).content.decode()
    assert client.post(page + "cancel/").status_code == 403
    assert client.post(page + "archive/", {"password": "long enough 1"}).status_code == 403


def test_the_api_begins_shows_and_cancels_a_job(browser: Client, account: Account) -> None:
    asked = {"devices": [{"name": "Pump"}, {"name": "Lamp", "profile": "modern"}]}
    made = browser.post("/api/v1/device-jobs", asked, "application/json")
    assert made.status_code == 202
    path = f"/api/v1/device-jobs/{made.json()['id']}"
    assert browser.post("/api/v1/device-jobs", {"pattern": "P {n}", "count": 2}, "application/json").status_code == 409
    assert browser.get("/api/v1/device-jobs").json()["results"][0]["total"] == 2
    early = browser.post(path + "/archive", {"password": "long enough 1"}, "application/json")
    assert (early.status_code, early.json()["code"]) == (409, "job_under_way")
    work_on(job_id=DeviceJob.objects.get().pk)
    shown = browser.get(path).json()
    assert (shown["status"], shown["registered"]) == ("done", 2)
    assert [line["device"] for line in shown["lines"]] == [account.devices.get(name=name).hex for name in ("Pump", "Lamp")]
    assert browser.delete(path).status_code == 204
    archived = browser.post(path + "/archive", {"password": "long enough 1"}, "application/json")
    assert archived.content.startswith(b"Salted__")
    assert browser.get(path).json()["status"] == "done"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "devices"),
        ({"devices": []}, "devices"),
        ({"devices": [{"name": "P"}, {"name": "p"}]}, "devices.1"),
        ({"pattern": "Pump", "count": 2}, "pattern"),
        ({"pattern": "P{n}", "count": 2, "devices": [{"name": "P"}]}, "devices"),
        ({"pattern": "P{n}", "count": True}, "count"),
        ({"pattern": "P{n}", "count": 2, "profile": "odd"}, "profile"),
    ],
)
def test_the_api_says_what_is_wrong_with_a_list(browser: Client, body: dict[str, object], field: str) -> None:
    answer = browser.post("/api/v1/device-jobs", body, "application/json")
    assert answer.status_code == 400
    assert field in answer.json()["errors"]


def test_the_api_says_all_that_is_wrong_with_a_line_at_the_field_it_is_about(browser: Client, account: Account) -> None:
    make_device(account, "Some kind 1")
    numbered_ones = {"pattern": "Some kind {n}", "count": 2, "profile": "odd"}
    errors = browser.post("/api/v1/device-jobs", numbered_ones, "application/json").json()["errors"]
    assert {field: len(texts) for field, texts in errors.items()} == {"pattern": 1, "profile": 1}
    named = {"devices": [{"name": "Some kind 1", "profile": "odd"}]}
    errors = browser.post("/api/v1/device-jobs", named, "application/json").json()["errors"]
    assert len(errors["devices.0"]) == 2
