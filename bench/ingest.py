"""How fast what devices say gets into the history, and onto other pages.

    .venv/bin/python -m bench.ingest [--messages 20000] [--devices 20] [--rate 0] [--pool threads]
    .venv/bin/python -m bench.ingest --broker rabbitmq [--seconds 60] [--publishers amqp,mqtt] [--devices 20]

A real broker process, a real Celery worker with the bridge, PostgreSQL with fsync; devices publish with QoS 1 over mutual TLS,
twenty messages in flight each. Printed: messages/s from the first publish to the last row, and the time from a device's publish
to its live event on the channel layer, with nothing else going on and while others say 1,000 messages/s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any
from uuid import UUID

from bench import ingest_rabbitmq
from bench.portal import Portal, spawn, talk, wait_until
from iotportal.embedded import rabbitmq


def rows(cursor: Any) -> int:
    """Return how many messages the history has."""
    cursor.execute("SELECT count(*) FROM messaging_message")
    return int(cursor.fetchone()[0])


def throughput(portal: Portal, devices: list[str], messages: int, rate: float) -> dict[str, float]:
    """Publish as fast as the broker acknowledges (or at `rate`) and time it to the last row."""
    said = spawn.Value("q", 0)
    with portal.database() as connection, connection.cursor() as cursor:
        before = rows(cursor)
        process = spawn.Process(target=talk, args=(portal.state.root, portal.mqtt_port, devices, messages, rate, 0, said))
        process.start()
        wait_until(lambda: said.value, "the first message", every_s=0.001)
        began = time.monotonic()
        most_behind = 0

        def written() -> bool:
            nonlocal most_behind
            count = rows(cursor) - before
            most_behind = max(most_behind, said.value - count)
            return count >= messages

        wait_until(written, "the last row", deadline_s=600, every_s=0.1)
        took = time.monotonic() - began
        process.join()
    return {"messages": messages, "seconds": round(took, 2), "per_second": round(messages / took), "most_behind": most_behind}


def latency(portal: Portal, device: str, samples: int, every_s: float) -> dict[str, float]:
    """Time from a device's publish to its event on the channel layer, in ms."""
    from channels.layers import get_channel_layer

    from messaging.events import device_group

    layer: Any = get_channel_layer()
    subscription = portal.valkey_raw().pubsub(ignore_subscribe_messages=True)
    with portal.database() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT account_id::text FROM devices_device WHERE id = %s", [device])
        (account,) = cursor.fetchone()
    subscription.subscribe(f"asgi__group__{device_group(UUID(account), UUID(device))}")
    subscription.get_message(timeout=1)
    talker = portal.device(device)
    times = []
    for number in range(samples):
        began = time.perf_counter()
        talker.say("write_uart", b'{"value": "probe %d"}' % number)
        while True:
            message = subscription.get_message(timeout=5)
            if message is None:
                raise TimeoutError("no live event")
            events = layer.deserialize(message["data"])["events"]
            if any(f'"probe {number}"' in event.get("payload", "") for event in events):
                break
        times.append((time.perf_counter() - began) * 1000)
        time.sleep(every_s)
    talker.finish()
    times.sort()
    return {"median_ms": round(statistics.median(times), 2), "p99_ms": round(times[int(len(times) * 0.99)], 2)}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0, help="messages a second; 0: as fast as the broker acknowledges")
    parser.add_argument("--pool", default="threads", choices=["threads", "solo"])
    parser.add_argument("--broker", default="embedded", choices=["embedded", "rabbitmq"])
    ingest_rabbitmq.add_options(parser)
    options = parser.parse_args()
    if options.broker == "rabbitmq":
        if rabbitmq.program() is None:
            print(f"RabbitMQ is not installed here. {rabbitmq.HINT}", file=sys.stderr)
            return 2
        return 0 if ingest_rabbitmq.measure(options) else 1
    with Portal(options.pool) as portal:
        *devices, probe = portal.register(options.devices + 1)
        portal.start_worker()
        result: dict[str, Any] = {"idle latency": latency(portal, probe, 200, 0.02)}
        result["throughput"] = throughput(portal, devices, options.messages, options.rate)
        said = spawn.Value("q", 0)
        load = spawn.Process(target=talk, args=(portal.state.root, portal.mqtt_port, devices, 12_000, 1_000, 10**6, said))
        load.start()
        wait_until(lambda: said.value > 500, "the load")
        result["latency at 1,000/s"] = latency(portal, probe, 200, 0.02)
        load.terminate()
        load.join()
        result["stats"] = portal.valkey().hgetall("bridge:stats")
        portal.stop("worker")
    for name, values in result.items():
        print(f"{name:20} {json.dumps(values)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
