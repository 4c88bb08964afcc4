"""Traces of commands, as a collector gets them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import redis
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from devices.models import Device
from iotportal.uuid7 import uuid7
from messaging import cache
from messaging.bridge.meaning import Record, read_record
from messaging.bridge.tracing import Traces
from messaging.models import Command
from messaging.tests.bridge.conftest import StartBridge
from messaging.tests.broker.wire import wait_until

MS = 1_000_000


class Collector:
    """An HTTP server that takes spans as OTLP has them."""

    def __init__(self) -> None:
        told = self
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: set[str] = set()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                told.paths.add(self.path)
                told.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def spans(self) -> list[Span]:
        scopes = [scope for request in self.requests for one in request.resource_spans for scope in one.scope_spans]
        return [span for scope in scopes for span in scope.spans]


@pytest.fixture
def collector(settings: Any) -> Iterator[Collector]:
    collector = Collector()
    settings.OTLP_ENDPOINT = f"http://127.0.0.1:{collector.server.server_port}/"
    settings.TRACES = True
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def command(**more: Any) -> str:
    about = {
        "v": 1, "id": uuid7().hex, "account": uuid4().hex, "device": uuid4().hex, "user": None, "api": "set_gpio",
        "payload": '{"number": 3, "value": 1}', "outcome": "answered", "answer": '{"number": 3, "value": 1}', "attempts": 1,
        "timeout_s": 5.0, "sent_ms": 1.0, "broker_ms": 2.5, "answered_ms": 7.0, "delivered_ms": 8.0,
    }  # fmt: skip
    return json.dumps(about | more)


def of(text: str) -> Record:
    return Record("1-1", read_record(text))


def by_name(spans: list[Span]) -> dict[str, Span]:
    assert len({span.name for span in spans}) == len(spans)
    return {span.name: span for span in spans}


def test_a_command_is_one_trace_by_its_own_id_from_the_web_to_the_history(collector: Collector) -> None:
    text = command()
    traces = Traces()
    traces.written([of(text)])
    traces.close()
    spans = by_name(collector.spans)
    root = spans.pop("command set_gpio")
    assert {span.trace_id.hex() for span in [root, *spans.values()]} == {json.loads(text)["id"]}
    assert {span.parent_span_id for span in spans.values()} == {root.span_id}
    begin = root.start_time_unix_nano
    last = spans["write"].end_time_unix_nano
    times = {name: (span.start_time_unix_nano - begin, span.end_time_unix_nano - begin) for name, span in spans.items()}
    assert times.pop("write") == (8 * MS, last - begin)
    assert times == {
        "admit": (0, MS), "publish": (MS, 2.5 * MS), "device": (MS, 7 * MS), "deliver": (7 * MS, 8 * MS),
    }  # fmt: skip
    assert root.end_time_unix_nano - begin == 8 * MS
    assert last >= begin + 8 * MS
    assert {one.key: one.value.string_value for one in root.attributes}["portal.outcome"] == "answered"
    assert collector.paths == {"/v1/traces"}
    resource = {one.key: one.value.string_value for one in collector.requests[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "iotportal"


def test_what_was_said_is_in_no_span(collector: Collector) -> None:
    traces = Traces()
    traces.written([of(command(api="write_uart", payload='{"value": "s3cret"}', answer='{"value": "s3cret"}'))])
    traces.close()
    assert collector.requests
    assert b"s3cret" not in b"".join(request.SerializeToString() for request in collector.requests)


def test_a_command_without_an_answer_is_an_error_and_a_late_answer_joins_its_trace(collector: Collector) -> None:
    key = uuid7().hex
    lost = command(id=key, outcome="timeout", answer=None, broker_ms=None, answered_ms=None, delivered_ms=5000.0)
    late = json.dumps({"v": 1, "late": key, "device": uuid4().hex, "answer": "{}", "late_ms": 6000.0})
    traces = Traces()
    traces.written([of(lost), of(late), Record("1-2", None)])
    traces.close()
    spans = by_name(collector.spans)
    root = spans.pop("command set_gpio")
    assert root.status.code == root.status.STATUS_CODE_ERROR
    assert set(spans) == {"admit", "device", "write", "late answer"}
    assert {(span.trace_id.hex(), span.parent_span_id) for span in spans.values()} == {(key, root.span_id)}


def test_a_collector_that_is_away_holds_nothing_up(settings: Any) -> None:
    settings.OTLP_ENDPOINT = "http://127.0.0.1:9"
    traces = Traces()
    for _ in range(1_000):
        traces.written([of(command())])
    closing = Thread(target=traces.close)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_the_bridge_traces_what_it_has_written(
    collector: Collector, start: StartBridge, device: Device, valkey: redis.Redis
) -> None:
    key = uuid7().hex
    bridge = start()
    valkey.xadd(cache.COMMAND_STREAM, {"r": command(id=key, account=device.account_id.hex, device=device.hex)})
    wait_until(lambda: Command.objects.filter(pk=key).exists(), "the command's row")
    bridge.stop()
    assert {span.trace_id.hex() for span in collector.spans} == {key}
