"""Traces of commands for an OpenTelemetry collector, where the settings name one.

A command's record has its whole timeline, so its spans are made where it is written: the way of the command pays nothing for
them, and what is traced is what is in the history. The trace's id is the command's, so that one leads to the other. The exporter
has a queue and a thread of its own: a collector that is slow or away costs spans, never messages.

    command set_gpio                 accepted … delivered
      admit  publish  device  deliver    … sent … broker took it · sent … answered … delivered
      write                          delivered … in the history
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from messaging.bridge.meaning import CommandFact, LateFact, Record
from messaging.models import Outcome

CLOSE_S = 2.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOWER = 2**64 - 1


class _Ids(RandomIdGenerator):
    """The ids of a command's own span follow from the command; below it they are random."""

    command: UUID | None = None

    def generate_trace_id(self) -> int:
        """Return the command's id."""
        return self.command.int if self.command else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the lower half of the command's id, once."""
        command, self.command = self.command, None
        return command.int & _LOWER if command else super().generate_span_id()


class Traces:
    """Sends spans; used from one thread."""

    def __init__(self) -> None:
        endpoint = settings.OTLP_ENDPOINT
        self._ids = _Ids()
        # All of them: the standard samplers go by the lower half of a trace's id, of which ours has only three quarters random.
        resource = Resource.create({"service.name": settings.OTLP_SERVICE_NAME})
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids)
        self._exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("iotportal")

    def written(self, records: Iterable[Record]) -> None:
        """Trace what is in the history now."""
        now = time.time_ns()
        for record in records:
            if isinstance(record.fact, CommandFact):
                self._command(record.fact, now)
            elif isinstance(record.fact, LateFact):
                self._late(record.fact)

    def close(self) -> None:
        """Send what waits, for at most CLOSE_S: a collector that is away must not hold the bridge's end up."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # OpenTelemetry's; it ends what is tried again

    def _command(self, fact: CommandFact, now: int) -> None:
        """Trace a command; a record that is written again gives the same root."""
        begin = _nanoseconds(fact.time)
        times = {"sent": fact.sent_ms, "broker": fact.broker_ms, "answered": fact.answered_ms, "delivered": fact.delivered_ms}
        at = {name: begin + round(ms * 1e6) for name, ms in times.items() if ms is not None}
        end = at.get("delivered", begin + round(fact.timeout_s * 1e9))
        about: dict[str, str | int] = {
            "portal.command.id": fact.id.hex,
            "portal.device.id": fact.device.hex,
            "portal.account.id": fact.account.hex,
            "portal.api": fact.api,
            "portal.outcome": str(fact.outcome),
            "portal.attempts": fact.attempts,
        }
        self._ids.command = fact.id
        root = self._tracer.start_span(f"command {fact.api}", None, SpanKind.SERVER, about, start_time=begin)
        if fact.outcome != Outcome.ANSWERED:
            root.set_status(Status(StatusCode.ERROR, str(fact.outcome)))
        for name, kind, start, stop in _parts(begin, at, end, now):
            self._part(root, name, kind, start, stop)
        root.end(end)

    def _part(self, root: Span, name: str, kind: SpanKind, start: int, stop: int) -> None:
        self._tracer.start_span(name, set_span_in_context(root), kind, start_time=start).end(max(start, stop))

    def _late(self, fact: LateFact) -> None:
        """Add an answer that came too late to its command's trace."""
        of = SpanContext(fact.id.int, fact.id.int & _LOWER, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        begin = _nanoseconds(fact.time)
        self._part(NonRecordingSpan(of), "late answer", SpanKind.CONSUMER, begin, begin + round(fact.late_ms * 1e6))


def _parts(begin: int, at: dict[str, int], end: int, now: int) -> Iterator[tuple[str, SpanKind, int, int]]:
    """Yield name, kind, start and end of what a command consists of, as far as it went."""
    if "sent" in at:
        yield "admit", SpanKind.INTERNAL, begin, at["sent"]
        if "broker" in at:
            yield "publish", SpanKind.PRODUCER, at["sent"], at["broker"]
        yield "device", SpanKind.CLIENT, at["sent"], at.get("answered", end)
    if "answered" in at:
        yield "deliver", SpanKind.INTERNAL, at["answered"], end
    yield "write", SpanKind.CONSUMER, end, now


def _nanoseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
