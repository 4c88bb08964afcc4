"""A supervisor with small processes in place of the portal's: `python -m tests.embedded.driver STATE PLAN`.

PLAN is JSON: {"first": [process...], "once": process or null, "second": [process...]}, a process being {"name", "code"} with
Python code. Each gets the variable EVENTS, a file to append to, and its own NAME.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from iotportal.embedded.children import Child
from iotportal.embedded.errors import StartError
from iotportal.embedded.output import Terminal
from iotportal.embedded.recorded import Recorded
from iotportal.embedded.stack import Service
from iotportal.embedded.state import State
from iotportal.embedded.supervisor import Supervisor


def _service(state: State, plan: dict[str, Any]) -> Service:
    env = {"EVENTS": str(state.root / "events"), "NAME": plan["name"]}
    child = Child(plan["name"], (sys.executable, "-u", "-c", plan["code"]), env=env, grace_s=plan.get("grace_s", 3.0))
    line = plan.get("ready_line")
    return Service(child, ready_line=line.encode() if line else None, start_s=plan.get("start_s", 20.0))


async def run(state: State, plan: dict[str, Any]) -> int:
    recorded = Recorded(state)
    recorded.end_leftovers()
    first = [_service(state, item) for item in plan["first"]]
    once = _service(state, plan["once"]) if plan.get("once") else None
    second = [_service(state, item) for item in plan.get("second", [])]
    groups = [[service.child for service in group] for group in (first, [once] if once else [], second)]
    supervisor = Supervisor(state, groups, Terminal(), recorded)
    await supervisor.begin()
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    try:
        await supervisor.start(first)
        if once:
            await supervisor.run_once(once.child.name)
        await supervisor.start(second)
        print("all started", flush=True)
        await stop.wait()
    except StartError as error:
        print(f"cannot start: {error}", flush=True)
        return 1
    finally:
        await supervisor.stop()
    print("all stopped", flush=True)
    return 0


if __name__ == "__main__":
    folder = State(Path(sys.argv[1]))
    folder.make()
    sys.exit(asyncio.run(run(folder, json.loads(sys.argv[2]))))
