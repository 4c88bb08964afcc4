"""The supervisor, with real processes that are small enough to start a dozen of."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iotportal.embedded.state import CHECKOUT
from tests.embedded.helpers import clean_environment, lines, runs, wait_for

# Notes its start and its end; ends on SIGTERM.
STEADY = """
import os, signal, sys
def note(what):
    with open(os.environ["EVENTS"], "a") as file:
        file.write(what + " " + os.environ["NAME"] + "\\n")
def end(*_):
    note("stop")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("start")
print("ready now")
while True:
    signal.pause()
"""
STUBBORN = STEADY.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
NOTE = 'import os; open(os.environ["EVENTS"], "a").write("ran " + os.environ["NAME"] + "\\n")'
FAILING = 'print("the disk is full of stars"); raise SystemExit(3)'

Drive = Callable[..., subprocess.Popen[str]]


def steady(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "code": STEADY, "ready_line": "ready now", **more}


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    started = []

    def start(**plan: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.embedded.driver", str(tmp_path), json.dumps(plan)],
            cwd=CHECKOUT,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    wait_for(lambda: not any(runs(pid) for pid in recorded(tmp_path).values()), "all processes to end")


def recorded(state: Path) -> dict[str, int]:
    """Return the processes that the supervisor has noted."""
    try:
        return {name: entry["pid"] for name, entry in json.loads((state / "run/processes.json").read_text()).items()}
    except FileNotFoundError:
        return {}


def expect(process: subprocess.Popen[str], text: str) -> list[str]:
    """Read what the supervisor prints up to a line with `text`; returns all lines."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.rstrip())
        if text in line:
            return said
    raise AssertionError(f"the supervisor ended without {text!r}: {said}")


def events(state: Path) -> list[str]:
    return lines(state / "events")


def test_it_starts_group_after_group_and_stops_in_reverse(drive: Drive, tmp_path: Path) -> None:
    process = drive(first=[steady("base")], once={"name": "setup", "code": NOTE}, second=[steady("top")])
    expect(process, "all started")
    assert events(tmp_path) == ["start base", "ran setup", "start top"]
    process.terminate()
    expect(process, "all stopped")
    assert process.wait(5) == 0
    assert events(tmp_path)[3:] == ["stop top", "stop base"]
    assert recorded(tmp_path) == {}


def test_it_stops_on_ctrl_c_as_well(drive: Drive, tmp_path: Path) -> None:
    process = drive(first=[steady("base")])
    expect(process, "all started")
    process.send_signal(signal.SIGINT)
    expect(process, "all stopped")
    assert events(tmp_path) == ["start base", "stop base"]


def test_it_starts_a_crashed_process_again_and_rests_longer_each_time(drive: Drive, tmp_path: Path) -> None:
    process = drive(first=[steady("base"), steady("other")])
    expect(process, "all started")
    other = recorded(tmp_path)["other"]
    for round_, rest in enumerate(("0.5 s", "1 s", "2 s"), start=1):
        os.kill(recorded(tmp_path)["base"], signal.SIGKILL)
        assert f"base | ended (SIGKILL); starting it again in {rest}" in expect(process, "starting it again")[-1]
        wait_for(lambda starts=round_ + 1: events(tmp_path).count("start base") == starts, "a new process")  # type: ignore[misc]  # a default binds the loop's number
    assert recorded(tmp_path)["other"] == other


def test_it_kills_what_does_not_end_in_time(drive: Drive, tmp_path: Path) -> None:
    process = drive(first=[{"name": "base", "code": STUBBORN, "ready_line": "ready now", "grace_s": 0.5}])
    expect(process, "all started")
    pid = recorded(tmp_path)["base"]
    process.terminate()
    expect(process, "all stopped")
    assert not runs(pid)


def test_it_leaves_no_process_behind_when_it_is_killed(drive: Drive, tmp_path: Path) -> None:
    process = drive(first=[steady("base")], second=[steady("top")])
    expect(process, "all started")
    pids = recorded(tmp_path).values()
    assert all(map(runs, pids))
    process.kill()
    wait_for(lambda: not any(map(runs, pids)), "the orphans to end")
    # Asked, not killed: PostgreSQL and the others must be able to close their files.
    assert sorted(events(tmp_path)[2:]) == ["stop base", "stop top"]


def test_it_says_why_a_set_up_step_failed_and_stops_the_rest(drive: Drive, tmp_path: Path) -> None:
    process = drive(first=[steady("base")], once={"name": "setup", "code": FAILING}, second=[steady("top")])
    said = expect(process, "the disk is full of stars")
    assert "cannot start: setup failed (exit code 3)" in "\n".join(said)
    assert process.wait(10) == 1
    assert events(tmp_path) == ["start base", "stop base"]


def test_it_gives_up_on_a_process_that_keeps_ending_while_it_starts(drive: Drive) -> None:
    process = drive(first=[{"name": "base", "code": FAILING, "ready_line": "ready now"}])
    said = "\n".join(expect(process, "cannot start") + expect(process, "the disk is full of stars"))
    assert "base keeps ending" in said
    assert process.wait(10) == 1


def test_it_gives_up_on_a_process_that_never_gets_ready(drive: Drive) -> None:
    process = drive(first=[steady("base", ready_line="something it never says", start_s=0.5)])
    assert "base is not ready after 0.5 s" in expect(process, "cannot start")[-1]
    assert process.wait(10) == 1


def test_it_keeps_what_processes_print_and_shows_what_is_wrong(drive: Drive, tmp_path: Path) -> None:
    loud = STEADY.replace('print("ready now")', 'print("all is well"); print("WARNING low on stars"); print("ready now")')
    process = drive(first=[{"name": "base", "code": loud, "ready_line": "ready now"}])
    said = expect(process, "all started")
    assert "base | WARNING low on stars" in said
    assert not any("all is well" in line for line in said)
    assert lines(tmp_path / "log/base.log") == ["all is well", "WARNING low on stars", "ready now"]
    assert (tmp_path / "log/base.log").stat().st_mode & 0o077 == 0


def test_it_ends_what_a_supervisor_left_behind_where_the_kernel_does_not(drive: Drive, tmp_path: Path) -> None:
    # As on a system without PR_SET_PDEATHSIG: a recorded process that outlived its supervisor.
    orphan = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    note_process(tmp_path, orphan.pid, shift=0.0)
    process = drive(first=[steady("base")])
    assert orphan.wait(10) == -signal.SIGTERM
    expect(process, "all started")


def test_it_leaves_a_stranger_alone_that_got_a_recorded_number(drive: Drive, tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        note_process(tmp_path, stranger.pid, shift=-3600.0)
        expect(drive(first=[steady("base")]), "all started")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def note_process(state: Path, pid: int, *, shift: float) -> None:
    """Write a process down as an earlier supervisor did; `shift` seconds off is another process."""
    import psutil

    (state / "run").mkdir()
    entry = {"pid": pid, "created": psutil.Process(pid).create_time() + shift, "signal": int(signal.SIGTERM)}
    (state / "run/processes.json").write_text(json.dumps({"base": entry}))
