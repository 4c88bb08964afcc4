"""`make run-full` as a whole: RabbitMQ, nginx, several processes of each kind, devices over MQTT and over AMQP."""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from iotportal.embedded import nginx, rabbitmq
from iotportal.embedded.state import CHECKOUT
from tests.embedded.helpers import runs, wait_for
from tests.embedded.running import Run, ports

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("rabbitmq"),
    pytest.mark.skipif(rabbitmq.program() is None or nginx.program() is None, reason="RabbitMQ or nginx is not installed here"),
]


@contextmanager
def full_portal() -> Iterator[tuple[Run, dict[str, str]]]:
    with tempfile.TemporaryDirectory(prefix="iotportal-run-") as folder:
        chosen = ports("HTTPS_PORT", "HTTP_PORT", "AMQP_PORT")
        with Run(Path(folder), "run-full", **chosen) as run:
            yield run.ready().complete("amqp-devices"), chosen


class Caller:
    """A client program that comes through nginx's TLS port and trusts this portal's root alone."""

    def __init__(self, run: Run, port: str) -> None:
        self._context = ssl.create_default_context(cafile=str(run.state / "pki/root-ca.pem"))
        self._url = f"https://127.0.0.1:{port}"
        self._password = password = (run.state / "secrets/demo-password").read_text().strip()
        self._token = ""
        self._token = self.ask("POST", "/api/user/login", {"username": "demo", "password": password})["access_token"]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30, context=self._context) as answer:
            return json.load(answer)

    def command_of_a_page(self, device: str) -> Any:
        """Sign in as a browser does and send a command over the page's WebSocket; return what comes."""
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=self._context), urllib.request.HTTPCookieProcessor(jar)
        )
        door = f"{self._url}/accounts/login/"
        browser.open(door, timeout=30).close()
        form = {"login": "demo", "password": self._password, "csrfmiddlewaretoken": _value(jar, "__Host-csrftoken")}
        browser.open(urllib.request.Request(door, urlencode(form).encode(), {"Referer": door}), timeout=60).close()
        cookie = {"Cookie": f"__Host-sessionid={_value(jar, '__Host-sessionid')}"}
        frame = {"do": "command", "ref": "c1", "device": device, "api": "get_gpio", "arguments": {"number": 4}}
        address = self._url.replace("https", "wss") + "/ws/live"
        with connect(address, ssl=self._context, origin=Origin(self._url), additional_headers=cookie) as socket:
            socket.send(json.dumps(frame))
            while (told := json.loads(socket.recv(timeout=30)))["kind"] != "result":
                pass
        return told

    def takes_connections(self) -> bool:
        try:
            return bool(self.ask("GET", "/api/v1/devices")["results"])
        except OSError:
            return False


def _value(jar: http.cookiejar.CookieJar, name: str) -> str:
    return next(str(cookie.value) for cookie in jar if cookie.name == name)


def device_of(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text())["device_id"])


def told(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return dict(json.load(answer))


def test_pins_are_set_through_nginx_over_mqtt_and_amqp_and_no_kill_leaves_anything_behind() -> None:
    with full_portal() as (run, chosen):
        caller, pids = Caller(run, chosen["HTTPS_PORT"]), run.pids()
        assert {"web-1", "web-2", "bridge-1", "tasks", "beat", "broker-auth", "rabbitmq", "nginx"} < set(pids)
        for name in ("simulators/greenhouse-pump", "simulators-amqp/cold-store"):
            pin = f"/api/v1/devices/{device_of(run.state / name)}/gpio/4"
            wait_for(lambda pin=pin: _connected(caller, pin), f"{name} to connect", seconds=30)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            assert caller.ask("PUT", pin, {"value": 1})["answer"] == {"number": 4, "value": 1}
        told_page = caller.command_of_a_page(device_of(run.state / "simulators/greenhouse-pump"))
        assert told_page["command"]["answer"] == {"number": 4, "value": 1}

        kept = json.loads((run.state / "run/ports.json").read_text())
        for name in ("WEB_1", "WEB_2", "BRIDGE_1", "TASKS", "BEAT", "BROKER_AUTH"):
            assert told(f"http://127.0.0.1:{kept[f'WATCH_{name}_PORT']}/readyz")["ok"]

        link = http.client.HTTPConnection("127.0.0.1", int(chosen["HTTP_PORT"]), timeout=10)
        link.request("GET", "/devices/?q=pump")
        answer = link.getresponse()
        assert (answer.status, answer.getheader("Location")) == (301, f"https://127.0.0.1:{chosen['HTTPS_PORT']}/devices/?q=pump")
        link.close()

        devices = [f"localhost:{chosen[name]}" for name in ("MQTT_PORT", "AMQP_PORT")]
        smoke = [
            sys.executable,
            ".ci/smoke.py",
            f"https://127.0.0.1:{chosen['HTTPS_PORT']}",
            "--ca",
            str(run.state / "pki/root-ca.pem"),
        ]
        looked = subprocess.run([*smoke, *devices], cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert looked.returncode == 0, looked.stdout + looked.stderr

        workers = psutil.Process(pids["nginx"]).children()
        os.kill(pids["nginx"], signal.SIGKILL)  # its workers would go on and hold the ports
        wait_for(lambda: run.pids().get("nginx", pids["nginx"]) != pids["nginx"], "another nginx")
        wait_for(caller.takes_connections, "the new nginx to answer")
        assert not any(runs(worker.pid) for worker in workers)

        pids, workers = run.pids(), psutil.Process(run.pids()["nginx"]).children()
        run.process.kill()
        run.process.wait()
        pids |= {f"nginx's worker {one.pid}": one.pid for one in workers}
        with ExitStack() as stack:
            stack.callback(lambda: print("running:", [name for name, pid in pids.items() if runs(pid)]))
            wait_for(lambda: not any(map(runs, pids.values())), "the orphans to end", seconds=30)


def _connected(caller: Caller, pin: str) -> bool:
    return bool(caller.ask("GET", pin.partition("/gpio")[0])["presence"]["connected"])
