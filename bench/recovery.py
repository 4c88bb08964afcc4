"""How soon commands work again after a process was killed: `.venv/bin/python -m bench.recovery`.

Web process, worker, PostgreSQL and broker are killed (SIGKILL) and started again, one after the other, with a simulated device
connected. Printed: seconds from the restart (its command, not its end) to the first command that is answered over HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import uvloop

from bench.commands import Http
from bench.fleet import FleetPortal

GIVE_UP_S = 60.0


async def first_answer(port: int, token: str, device: str) -> None:
    """Ask until a command is answered."""
    end = time.perf_counter() + GIVE_UP_S
    while time.perf_counter() < end:
        try:
            http = await Http(port, token).open()
            status, _ = await asyncio.wait_for(http.request("GET", f"/api/v1/devices/{device}/gpio/1?timeout=1"), 3)
        except (OSError, TimeoutError, IndexError, ValueError, asyncio.IncompleteReadError):
            status = 0
        if status == 200:
            return
        await asyncio.sleep(0.02)
    raise TimeoutError("no command was answered")


def main() -> None:
    """Kill one after the other."""
    with FleetPortal() as portal:
        (device,) = portal.start_simulators(1)
        portal.start_worker()
        ports = [portal.start_web()]
        uvloop.run(first_answer(ports[-1], portal.token, device))
        restarts: dict[str, Callable[[], object]] = {
            "web": lambda: ports.append(portal.start_web()),
            "worker": portal.start_worker,
            "postgres": portal.start_postgres,
            "broker": portal.start_broker,
        }
        for name, restart in restarts.items():
            portal.kill(name)
            began = time.perf_counter()
            restart()
            up = time.perf_counter() - began
            uvloop.run(first_answer(ports[-1], portal.token, device))
            print(
                f"{name:9} up again after {up:4.1f} s, the first command is answered after {time.perf_counter() - began:4.1f} s"
            )


if __name__ == "__main__":
    main()
