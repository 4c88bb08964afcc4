"""The portal beside Node-RED and a bare requester, over the same RabbitMQ and devices of one simulator, in one run, taking turns.

    .venv/bin/python -m bench.peers [--seconds 3] [--rounds 3] [--devices 50] [--no-bridge]

Everything runs on this machine, as in `bench.commands`, with RabbitMQ for a broker; takes some four minutes; leaves nothing but
Node-RED's packages in `var/peers`. Node-RED (5, from npm, with a Node.js of its own) has one flow: HTTP in, MQTT out with
QoS 1, MQTT in with QoS 0, HTTP response. It has no accounts, keeps no history and counts nothing. The bare requester publishes
over AMQP and waits for what the device says. Each way has devices of its own, all of one simulator process; the bridge writes
what all of them say. Every answer is checked against its question.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections import defaultdict
from typing import Any

import uvloop

from bench.commands import CALLERS, Ask, Bare, Http, Socket, Tally, load
from bench.peers import node_red
from bench.peers.rabbit import PeerPortal
from iotportal.embedded import rabbitmq

WAYS = ("bare requester", "Node-RED", "portal, HTTP", "portal, WebSocket")
SOCKETS = 5


class BareAmqp(Bare):
    """The broker alone, over AMQP."""

    async def open(self) -> BareAmqp:
        from django.conf import settings

        from messaging.gateway.amqp import AmqpTransport

        self._transport: Any = AmqpTransport(settings.AMQP_HOST, settings.AMQP_PORT, settings.PKI_DIR)
        self._transport.on_answer = self._on_answer
        self._waiting = {}
        await self._transport.start()
        await self._transport.wait_connected(10)
        return self


class NodeRed(Http):
    """One keep-alive connection to Node-RED's flow."""

    async def ask(self, device: str, pin: int, value: int) -> bool:
        status, body = await self.request("PUT", f"/devices/{device}/gpio/{pin}", {"value": value})
        if status != 200:
            raise RuntimeError(body)
        return bool(body["device"] == device and body["answer"] == {"number": pin, "value": value})


async def measure(arguments: argparse.Namespace, token: str, cookie: str, devices: list[str], ports: dict[str, int]) -> None:
    """Let the ways take turns and print the table."""
    count = arguments.devices
    theirs = {way: devices[number * count : (number + 1) * count] for number, way in enumerate(WAYS)}
    bare = await BareAmqp().open()
    await bare.bind(theirs["bare requester"])
    most = max(CALLERS)
    flows = [await NodeRed(ports["node-red"], "").open() for _ in range(most)]
    https = [await Http(ports["web"], token).open() for _ in range(most)]
    sockets = [await Socket(ports["web"], cookie).open() for _ in range(SOCKETS)]
    asks: dict[str, list[Ask]] = {
        "bare requester": [bare.ask] * most,
        "Node-RED": [flow.ask for flow in flows],
        "portal, HTTP": [http.ask for http in https],
        "portal, WebSocket": [sockets[number % SOCKETS].ask for number in range(most)],
    }
    for way in WAYS:  # so that nobody pays for a first time
        await load(Tally(), asks[way], theirs[way], 1.0, 0)
    tallies: dict[tuple[str, int], Tally] = defaultdict(Tally)
    for round_number in range(arguments.rounds):
        for callers in CALLERS:
            for way in WAYS:
                if way == "Node-RED":
                    await asyncio.gather(*(flow.open() for flow in flows))  # Node.js closes those that rest for 5 s
                await load(tallies[way, callers], asks[way][:callers], theirs[way], arguments.seconds, round_number)
    await bare.close()
    print_table(tallies)


def print_table(tallies: dict[tuple[str, int], Tally]) -> None:
    """Print medians, p99 and rates, and the ratios to Node-RED's."""
    titles = ("median ms", "p99 ms", "per s", "errors", "wrong", "median/Node-RED", "p99/Node-RED", "rate/Node-RED")
    print(f"\n{'way':18} {'callers':>7}" + "".join(f" {title:>{len(title) + 1}}" for title in titles))
    for callers in CALLERS:
        peer = tallies["Node-RED", callers]
        for way in WAYS:
            one = tallies[way, callers]
            print(
                f"{way:18} {callers:7} {one.median:10.2f} {one.p99:7.2f} {one.rate:6.0f} {one.errors:7} {one.wrong:6}"
                f" {one.median / peer.median:16.2f} {one.p99 / peer.p99:13.2f} {one.rate / peer.rate:14.2f}"
            )
            if one.first_error:
                print(f"                   first error: {one.first_error}")


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="per way and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--devices", type=int, default=50, help="of each way")
    parser.add_argument("--no-bridge", action="store_true", help="write no history meanwhile")
    arguments = parser.parse_args()
    if rabbitmq.program() is None or shutil.which("npm") is None:
        sys.exit("RabbitMQ and npm must be installed (Debian: apt install rabbitmq-server npm).")
    node_red.install()
    with PeerPortal() as portal:
        devices = portal.start_simulators(len(WAYS) * arguments.devices)
        if not arguments.no_bridge:
            portal.start_worker()
        ports = {"web": portal.start_web(), "node-red": node_red.start(portal)}
        cookie = portal.cookie()
        try:
            uvloop.run(measure(arguments, portal.token, cookie, devices, ports))
        except BaseException:
            for name in ports:
                print(f"\n--- {name} said:\n{portal.log(name)[-1500:]}", file=sys.stderr)
            raise


if __name__ == "__main__":
    main()
