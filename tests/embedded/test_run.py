"""`make run` as a whole: the real processes of the portal, from the first page to the last stop."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from iotportal.embedded.stack import listens, page_answers
from iotportal.embedded.state import CHECKOUT
from tests.embedded.helpers import clean_environment, lines, runs, wait_for
from tests.embedded.running import Run, ports

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("run")]


class Home:
    """A state folder whose portal runs whenever a test wants it; a test may end it in its own way."""

    def __init__(self, state: Path) -> None:
        self.state, self.ports = state, ports()
        self._run: Run | None = None

    def running(self) -> Run:
        if self._run is None:
            self._run = Run(self.state, **self.ports)
        return self._run.ready().complete()

    def left(self) -> None:
        """Have the next test that wants it start it again."""
        if self._run is not None:
            self._run.__exit__()
            self._run = None


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="iotportal-run-") as folder:
        home = Home(Path(folder))
        yield home
        home.left()


@pytest.fixture
def portal(home: Home) -> Run:
    return home.running()


@pytest.fixture
def chosen(home: Home) -> dict[str, str]:
    return home.ports


def test_its_first_page_mail_page_and_broker_answer(portal: Run, chosen: dict[str, str]) -> None:
    assert f"http://127.0.0.1:{chosen['PORT']}" in portal.said
    assert "demo-portal" in portal.said
    assert page_answers("127.0.0.1", int(chosen["PORT"]))
    assert listens("127.0.0.1", int(chosen["MQTT_PORT"]))
    link = http.client.HTTPConnection("127.0.0.1", int(chosen["MAIL_PAGE_PORT"]), timeout=10)
    link.request("GET", "/messages.json")
    assert json.loads(link.getresponse().read()) == []
    link.close()


def test_it_runs_every_process_and_listens_only_on_this_machine(portal: Run) -> None:
    pids = portal.pids()
    assert set(pids) == {"postgres", "valkey", "broker", "web", "mail", "paypal", "worker", "beat", "emulators", "devices"}
    listening = {
        link.laddr.ip
        for pid in pids.values()
        for link in psutil.Process(pid).net_connections(kind="tcp")
        if link.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_no_process_carries_a_secret_where_others_could_read_it(portal: Run) -> None:
    kept = [path.read_text().strip() for path in (portal.state / "secrets").iterdir()]
    passwords = [value for value in kept if value != "demo-portal"]
    for pid in portal.pids().values():
        process = psutil.Process(pid)
        visible = " ".join([*process.cmdline(), *process.environ().values()])
        assert not [value for value in passwords if value in visible]


def test_a_second_run_says_where_the_first_one_is(portal: Run, chosen: dict[str, str]) -> None:
    with Run(portal.state, **ports()) as second:
        assert second.process.wait(20) == 1
    assert f"already running (process {portal.process.pid}): http://127.0.0.1:{chosen['PORT']}" in second.said
    assert portal.process.poll() is None


def test_a_taken_port_stops_the_start_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = str(server.getsockname()[1])
        with Run(tmp_path, **ports() | {"PORT": taken}) as run:
            assert run.process.wait(20) == 1
    assert f"Port {taken} is taken" in run.said
    assert "make run PORT=" in run.said
    assert not (tmp_path / "postgres").exists()


def test_a_crashed_process_comes_back(portal: Run) -> None:
    pid = portal.pids()["mail"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: portal.pids().get("mail", pid) != pid, "another mail catcher")
    assert "mail | ended (SIGKILL)" in portal.said


def test_management_commands_reach_the_running_portal(portal: Run) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "iotportal.embedded", "manage", "migrate", "--check"],
        cwd=CHECKOUT,
        env=clean_environment(PORTAL_STATE_DIR=str(portal.state)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_it_survives_kill_9_and_keeps_its_data(home: Home, portal: Run) -> None:
    pids, secret = portal.pids(), (home.state / "secrets/secret-key").read_text()
    portal.process.kill()
    portal.process.wait()
    wait_for(lambda: not any(map(runs, pids.values())), "the orphans to end")
    home.left()
    first_run = home.state / "log/first-run.log"
    before = len(lines(first_run))
    home.running()
    assert (home.state / "secrets/secret-key").read_text() == secret
    assert any("demo" in line and "there" in line for line in lines(first_run)[before:])


def test_it_stops_in_order(home: Home, portal: Run) -> None:
    pids, log = portal.pids(), home.state / "log/supervisor.log"
    before = len(lines(log))
    portal.process.send_signal(signal.SIGINT)
    assert portal.process.wait(15) == 0
    assert not any(map(runs, pids.values()))
    home.left()
    assert "database system is shut down" in (home.state / "log/postgres.log").read_text()
    stopped = [line.split()[-2] for line in lines(log)[before:] if line.endswith(" stopped")]
    order = [stopped.index(name) for name in ("devices", "web", "broker", "postgres")]
    assert order == sorted(order)
