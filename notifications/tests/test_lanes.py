"""Each channel goes its own way: what is slow on one holds up no other, and takes no more than its places."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account
from devices.models import Device
from iotportal.processes import PROCESSES
from notifications import tasks
from notifications.models import Channel, Lot, Notification
from notifications.services import bell, lanes, named, outbox
from notifications.tests.conftest import Ask, MailServer
from notifications.tests.http_server import Vendor, serve


def threads_of(name: str) -> int:
    argv = PROCESSES[name].argv
    return int(argv[argv.index("-c") + 1])


@pytest.fixture
def called(clean_valkey: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep the channels for which a worker is called."""
    found: list[str] = []
    monkeypatch.setattr(tasks.deliver, "apply_async", lambda args, **_: found.extend(args))
    return found


@pytest.mark.parametrize("name", ["worker", "tasks"])
def test_all_places_together_leave_threads_for_other_work(name: str) -> None:
    assert set(lanes.LANES) == set(Channel)
    assert sum(lane.places for lane in lanes.LANES.values()) + 4 == threads_of(name)


def test_whoever_finds_no_place_is_called_again_by_one_that_leaves(called: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lanes.LANES, Channel.SMS, lanes.Lane(places=1, batch=1))
    with lanes.place("sms") as first:
        with lanes.place("sms") as second, lanes.place("email") as other:
            assert (first, second, other) == (True, False, True)
        assert called == []
    assert called == ["sms"]
    with lanes.place("sms") as again:
        assert again
    assert called == ["sms"]


def test_the_sweep_calls_a_worker_for_each_channel_that_has_something_due(ask: Ask, device: Device, called: list[str]) -> None:
    ask()
    ask(device.hex)
    later = ask("webhook:garage")
    Notification.objects.filter(pk=later.pk).update(due_at=timezone.now() + timedelta(hours=1))
    for channel in called:
        bell.answer(channel)
    called.clear()
    tasks.deliver()
    assert sorted(called) == ["device", "email"]


@pytest.mark.django_db(transaction=True)
class TestSlowReceivers:
    @pytest.fixture
    def device(self, transactional_db: None, device: Device) -> Device:
        return device

    @pytest.fixture
    def worker(self, clean_valkey: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
        """Run what is called in as many threads as a worker has, each task with connections of its own."""

        def run(channel: str) -> None:
            try:
                tasks.deliver(channel)
            finally:
                connections.close_all()

        monkeypatch.setattr(tasks, "WAIT_S", 0.0)
        with ThreadPoolExecutor(threads_of("worker")) as pool:
            monkeypatch.setattr(tasks.deliver, "apply_async", lambda args, **_: pool.submit(run, *args))
            yield pool

    @pytest.fixture
    def silent(self, account: Account, settings: Settings) -> Iterator[Vendor]:
        """Add the webhook "garage", which takes what it is sent and answers nothing until it is let."""
        stall = threading.Event()
        with serve(Vendor(stall=stall)) as vendor:
            settings.OUTWARD_ORIGINS = frozenset({vendor.url})
            Lot.objects.create(account=account, item="webhook", left=50, per=50)  # paid already
            named.add_webhook(account=account, name="garage", url=vendor.url, user=account.members.get())
            try:
                yield vendor
            finally:
                stall.set()

    def test_a_webhook_that_does_not_answer_holds_up_no_mail(
        self, ask: Ask, silent: Vendor, mail_server: MailServer, worker: ThreadPoolExecutor
    ) -> None:
        posted = [ask("webhook:garage", f"{number}") for number in range(20)]  # more than are claimed together
        mailed = ask()
        assert mail_server.arrived.wait(8)
        assert silent.stall is not None
        assert not Notification.objects.filter(channel="webhook").exclude(status="queued").exists()
        assert len(silent.asked) <= lanes.LANES[Channel.WEBHOOK].places
        silent.stall.set()
        worker.shutdown()
        outbox.deliver()  # what was called for while the threads ended
        assert {one.status for one in Notification.objects.filter(pk__in=[one.pk for one in (mailed, *posted)])} == {"sent"}
        assert len(silent.asked) == len({one.headers["webhook-id"] for one in silent.asked}) == len(posted)
