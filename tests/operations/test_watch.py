"""Metrics and health of a process, and the dashboard that draws them."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY

from iotportal import watch
from iotportal.embedded.ports import free_port
from iotportal.uuid7 import uuid7
from iotportal.watch import Watch
from messaging import metrics
from messaging.bridge.inbox import Batch
from messaging.bridge.meaning import Record, read_record
from messaging.bridge.source import Incoming
from messaging.bridge.writer import Written

DASHBOARD = Path(settings.BASE_DIR, "docker", "grafana", "portal.json")


@pytest.fixture
def serving() -> Iterator[Any]:
    """Start watches; each gives a function that asks it."""
    started: list[Watch] = []

    def serve(**more: Any) -> Any:
        one = Watch(**more)
        port = one.start("127.0.0.1", 0)
        started.append(one)
        return lambda path: ask(port, path)

    yield serve
    for one in started:
        one.stop()


def ask(port: int, path: str) -> tuple[int, str, str]:
    link = HTTPConnection("127.0.0.1", port, timeout=5)
    link.request("GET", path)
    answer = link.getresponse()
    body = answer.read().decode()
    link.close()
    return answer.status, answer.getheader("Content-Type", ""), body


def command(**more: Any) -> Record:
    """Return a finished command as the gateway leaves it for the bridge."""
    record = {
        "v": 1, "id": str(uuid7()), "time": time.time(), "account": str(uuid4()), "device": uuid4().hex, "user": 1,
        "source": "token", "api": "get_gpio", "payload": "{}", "outcome": "answered", "answer": "{}", "attempts": 1,
        "timeout_s": 5.0, "sent_ms": 0.3, "broker_ms": 0.9, "answered_ms": 30.0, "delivered_ms": 31.0,
    }  # fmt: skip
    return Record("0-1", read_record(json.dumps({**record, **more})))


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_ready_process_says_so_and_one_that_misses_something_says_what(serving: Any) -> None:
    asked = serving(needs={"postgresql": watch.postgresql, "valkey": watch.valkey})
    status, kind, body = asked("/readyz")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == {"ok": True, "postgresql": "ok", "valkey": "ok"}


def test_what_is_away_is_named_without_its_address(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = free_port()
    monkeypatch.setattr(settings, "MQTT_PORT", nobody)
    monkeypatch.setattr(settings, "VALKEY_URL", f"redis://:hush@127.0.0.1:{nobody}")
    asked = serving()
    status, _, body = asked("/readyz")
    assert status == 503
    assert json.loads(body) == {"ok": False, "postgresql": "ok", "valkey": "ConnectionError", "broker": "ConnectionRefusedError"}
    assert asked("/healthz")[0] == 200, "a process is not started again because a server is away"


def test_a_loop_that_stands_still_is_not_alive(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WAIT_S", 0.1)
    loop = asyncio.new_event_loop()
    asked = serving(alive={"loop": watch.turns(loop)})
    assert json.loads(asked("/healthz")[2]) == {"ok": False, "loop": "TimeoutError"}
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        assert asked("/healthz")[0] == 200
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_commands_are_counted_by_api_and_outcome_when_they_are_written(serving: Any) -> None:
    labels = {"api": "get_gpio", "outcome": "timeout"}
    before, timed = figure("portal_commands_total", **labels), figure("portal_command_seconds_count", api="get_gpio")
    named = figure("portal_commands_total", api="other", outcome="answered")
    said = Incoming(uuid7(), f"server/{uuid4().hex}/get_gpio", b"{}", 1)
    lost = {"outcome": "timeout", "answer": None, "answered_ms": None}
    batch = Batch([said], [command(), command(**lost), command(api="my_own_name"), Record("0-2", None)])
    metrics.batch_written(batch, Written(received=1, rows=1, duplicates=2))
    assert figure("portal_commands_total", **labels) == before + 1
    assert figure("portal_command_seconds_count", api="get_gpio") == timed + 1, "only what was answered took a time"
    assert figure("portal_commands_total", api="other", outcome="answered") == named + 1, "names of people's own make no series"
    assert 0 <= figure("portal_bridge_lag_seconds") < 5
    status, kind, body = serving()("/metrics")
    assert (status, kind) == (200, CONTENT_TYPE_LATEST)
    assert 'portal_messages_total{result="duplicate"}' in body


@pytest.mark.django_db
@pytest.mark.usefixtures("clean_valkey")
def test_the_dashboard_draws_only_what_is_told() -> None:
    metrics.look_up()
    metrics.look_up()
    metrics.batch_written(Batch([], [command()]), Written())
    families = list(REGISTRY.collect())
    told = {sample.name for family in families for sample in family.samples}
    told |= {f"{family.name}_total" for family in families if family.type == "counter"}  # counted here or not
    panels = json.loads(DASHBOARD.read_text())["panels"]
    drawn = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"\b(?:portal|process)_\w+", target["expr"])
    }
    assert len(drawn) > 8
    assert drawn <= told, drawn - told


def test_it_is_off_unless_wanted_and_a_taken_port_stops_nothing(monkeypatch: pytest.MonkeyPatch, serving: Any) -> None:
    assert watch.start() is None
    holder = Watch()
    monkeypatch.setattr(settings, "WATCH_PORT", holder.start("127.0.0.1", 0))
    assert watch.start() is None
    holder.stop()
    assert serving()("/admin/")[0] == 404
