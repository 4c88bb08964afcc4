"""Presence after kill -9: broker, worker with the bridge, web server, each a real process, with real devices over mutual TLS.

After each restart the state of a device that is connected and of one that is not is right, and the history of each has every
coming and going once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.browser.stack import Board, Portal, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("presence")]

CAME, GOODBYE, BROKER = "connected", "goodbye", "broker"


@pytest.fixture(scope="module")
def portal(django_db_setup: None) -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.stop()


@pytest.fixture
def make_board(portal: Portal) -> Iterator[Callable[[], Board]]:
    boards: list[Board] = []

    def make() -> Board:
        boards.append(portal.register())
        return boards[-1]

    yield make
    for board in boards:
        board.close()
        portal.api("DELETE", f"/devices/{board.hex}")


@pytest.fixture
def here(make_board: Callable[[], Board]) -> Board:
    """Return a device that is connected."""
    return make_board().start()


@pytest.fixture
def gone(make_board: Callable[[], Board]) -> Board:
    """Return a device that has said goodbye."""
    board = make_board().start()
    board.stop()
    return board


def report(board: Board) -> dict[str, Any]:
    status, body = board.portal.api("GET", f"/devices/{board.hex}/presence?page_size=200")
    assert status == 200, body
    found: dict[str, Any] = body
    return found


def state(board: Board) -> str:
    return str(report(board)["presence"]["state"])


def story(board: Board) -> list[str]:
    """Return its comings and goings, the oldest first: "connected", or why it went."""
    return [row["reason"] or row["state"] for row in reversed(report(board)["results"])]


def is_soon(board: Board, wanted: str) -> None:
    until(lambda: state(board) == wanted, f"{board.name} is {wanted}", lambda: str(report(board)))


def test_the_broker_is_killed(portal: Portal, here: Board, gone: Board) -> None:
    portal.kill("broker")
    is_soon(here, "unknown")  # nobody can say, and nobody claims to
    assert state(gone) == "unknown"
    portal.start_broker()
    is_soon(gone, "disconnected")
    is_soon(here, "connected")
    assert story(here) == [CAME, BROKER, CAME]
    assert story(gone) == [CAME, GOODBYE]
    assert report(here)["presence"]["drops"]["day"] == 0  # not its doing
    until(lambda: here.command("get_status")[0] == 200, "the web server is back at the broker too")


def test_the_worker_is_killed_twice_while_devices_come_and_go(portal: Portal, here: Board, gone: Board) -> None:
    portal.kill("worker")
    before = datetime.now(UTC)
    here.close()
    start_unseen(gone)
    after = datetime.now(UTC)
    portal.start_worker()
    is_soon(here, "disconnected")
    is_soon(gone, "connected")
    assert story(here) == [CAME, GOODBYE]
    assert story(gone) == [CAME, GOODBYE, CAME]
    for board in (here, gone):  # when it happened, not when it was entered
        newest = datetime.fromisoformat(report(board)["results"][0]["time"])
        assert before <= newest <= after
    portal.kill("worker")
    gone.close()
    start_unseen(gone)
    portal.start_worker()
    wanted = [CAME, GOODBYE, CAME, GOODBYE, CAME]
    until(lambda: len(story(gone)) >= len(wanted), "all of it", lambda: str(story(gone)))
    is_soon(gone, "connected")
    assert story(gone) == wanted
    assert (state(here), story(here)) == ("disconnected", [CAME, GOODBYE])


def test_the_web_server_is_killed_while_a_device_goes(portal: Portal, here: Board, gone: Board) -> None:
    with portal.without_web():
        here.close()
        start_unseen(gone)
    is_soon(here, "disconnected")
    is_soon(gone, "connected")
    assert story(here) == [CAME, GOODBYE]
    assert story(gone) == [CAME, GOODBYE, CAME]


def test_broker_and_worker_are_killed_together(portal: Portal, here: Board, gone: Board) -> None:
    for name in ("broker", "worker"):
        portal.kill(name)
    here.close()
    portal.start_broker()
    start_unseen(gone)
    portal.start_worker()
    is_soon(here, "disconnected")
    is_soon(gone, "connected")
    assert story(here) == [CAME, BROKER]
    assert story(gone) == [CAME, GOODBYE, CAME]
    unknown = report(here)["week"]["unknown_s"]
    assert unknown > 0  # from when the broker was last heard of until it was heard again


def test_a_device_that_loses_its_power_went_without_goodbye(here: Board) -> None:
    here.kill()
    is_soon(here, "disconnected")
    assert story(here) == [CAME, "lost"]


def test_a_device_that_is_deleted_was_cut_for_that(portal: Portal, here: Board) -> None:
    assert portal.api("DELETE", f"/devices/{here.hex}")[0] == 204
    asked = f"SELECT reason FROM messaging_presencechange WHERE device_id = '{here.hex}' ORDER BY id"
    until(lambda: portal.rows(asked) == [("",), ("deleted",)], "why it was cut", lambda: str(portal.rows(asked)))


def test_an_outage_is_told_once_though_worker_and_beat_are_killed(portal: Portal, gone: Board) -> None:
    """The task and its schedule as they run; the outage is set back a little, so that nobody has to wait for a minute."""
    url = f"/devices/{gone.hex}"
    assert portal.api("PATCH", f"{url}/presence", {"offline_after_minutes": 1})[0] == 200
    portal.execute(
        f"UPDATE messaging_presence SET disconnected_at = now() - interval '90 s' WHERE device_id = '{gone.hex}';"
        "UPDATE messaging_presencewatch SET began = began - interval '5 min'"
    )

    def told() -> list[str]:
        lines = portal.api("GET", f"{url}/timeline")[1]["results"]
        return [line["kind"] for line in reversed(lines) if line["kind"] in {"offline", "back"}]

    portal.start_beat()
    until(lambda: told() == ["offline"], "the outage is told")
    for name in ("beat", "worker"):
        portal.kill(name)
    portal.start_worker()
    portal.start_beat()
    gone.start()
    until(lambda: len(told()) > 1, "its return is told")
    assert told() == ["offline", "back"]
    portal.kill("beat")


def start_unseen(board: Board) -> None:
    """Start a device whose coming the portal cannot show now, and wait until the broker has let it in."""
    starts = board.portal.log(board.hex).count("listens to")
    board.portal.run_simulator(board.hex, board.archive)
    board._runs = True
    until(lambda: board.portal.log(board.hex).count("listens to") > starts, f"{board.name} listens")
