"""The sockets of gateway and bridge: who can open one is that service, and nobody else."""

import stat
from pathlib import Path

import pytest

from messaging.broker.server import Broker
from messaging.broker.tls import server_context
from messaging.tests.broker.conftest import DEVICE, OTHER, StartBroker
from messaging.tests.broker.pki import Authority
from messaging.tests.broker.wire import RunningBroker, connect_packet, running_broker, wait_until

GATEWAY, BRIDGE = "portal.gateway", "portal.bridge"
ACCEPTED, IDENTIFIER_REJECTED = 0, 2


@pytest.fixture
def local(start: StartBroker, folder: Path) -> RunningBroker:
    return start(sockets=folder)


def another(running: RunningBroker, authority: Authority, folder: Path, port: int = 0) -> Broker:
    """Return one more broker, for the loop of the first, not started."""
    tls = server_context(*authority.issue("server", server=True), [authority.issuing])
    return Broker(tls=tls, admit=running.broker.admit, port=port, sockets=folder)


def test_a_command_and_its_answer_pass_between_a_socket_and_tls(local: RunningBroker, folder: Path) -> None:
    device, gateway = local.client(DEVICE), local.local(folder / GATEWAY)
    device.subscribe(f"{DEVICE}/#")
    assert gateway.connect(f"{GATEWAY}.1") == ACCEPTED
    assert gateway.subscribe(f"server/{DEVICE}/#") == [1]
    gateway.publish(f"{DEVICE}/get_rtc", b"{}")
    assert device.receive().payload == b"{}"
    device.publish(f"server/{DEVICE}/get_rtc", b"x" * 60_000)
    assert gateway.receive().payload == b"x" * 60_000


def test_several_come_by_one_socket(local: RunningBroker, folder: Path) -> None:
    names = [f"{GATEWAY}.{number}" for number in range(3)]
    wires = [local.local(folder / GATEWAY) for _ in names]
    assert [wire.connect(name) for wire, name in zip(wires, names, strict=True)] == [ACCEPTED] * 3
    for wire in wires:
        wire.ping()
    assert local.broker.connected() == set(names)


@pytest.mark.parametrize("client_id", [BRIDGE, DEVICE, "portal", GATEWAY + "x", ""])
def test_a_socket_is_for_its_own_service_alone(local: RunningBroker, folder: Path, client_id: str) -> None:
    assert local.local(folder / GATEWAY).connect(client_id) == IDENTIFIER_REJECTED
    assert local.broker.connected() == set()


def test_it_may_no_more_than_with_its_certificate(local: RunningBroker, folder: Path) -> None:
    gateway, bridge = local.local(folder / GATEWAY), local.local(folder / BRIDGE)
    assert gateway.connect(GATEWAY) == bridge.connect(BRIDGE) == ACCEPTED
    assert gateway.subscribe("#", f"{OTHER}/#", "$SYS/portal/#") == [0x80] * 3
    victim = local.client(DEVICE)
    victim.subscribe(f"{DEVICE}/#")
    bridge.publish(f"{DEVICE}/restart", b"{}")
    gateway.publish(f"{DEVICE}/get_rtc", b"{}")
    assert victim.receive().topic == f"{DEVICE}/get_rtc"
    assert local.broker.refusals[BRIDGE] == 1


def test_garbage_is_turned_away(local: RunningBroker, folder: Path) -> None:
    for garbage in (b"\x16\x03\x01\x02\x00", b"\0" * 1_000, connect_packet(GATEWAY)[:-1] + b"\xff" * 10):
        wire = local.local(folder / GATEWAY)
        wire.send(garbage)
        wire.socket.shutdown(1)
        assert wire.is_closed()
    assert local.broker.connected() == set()
    assert not local.errors


def test_who_says_nothing_is_shown_out(start: StartBroker, folder: Path) -> None:
    silent = start(sockets=folder, handshake_seconds=0.1, connect_seconds=0.1).local(folder / GATEWAY)
    assert silent.is_closed()


def test_only_the_portals_user_can_open_them(local: RunningBroker, folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {(path.name, stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()} == {(GATEWAY, 0o600), (BRIDGE, 0o600)}


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o702])
def test_a_folder_that_others_can_enter_is_refused_and_left_as_it_is(
    running: RunningBroker, folder: Path, authority: Authority, mode: int
) -> None:
    folder.mkdir()
    folder.chmod(mode)
    second = another(running, authority, folder)
    with pytest.raises(PermissionError, match="open to others"):
        running.run(second.start())
    running.run(second.stop())
    assert stat.S_IMODE(folder.stat().st_mode) == mode
    assert not list(folder.iterdir())


def test_they_go_with_the_broker_and_what_a_killed_one_left_is_taken_over(
    authority: Authority, start: StartBroker, folder: Path
) -> None:
    with running_broker(authority, sockets=folder) as first:
        left = folder / "left"
        (folder / GATEWAY).rename(left)
        assert first.local(left).connect(GATEWAY) == ACCEPTED
    assert [path.name for path in folder.iterdir()] == ["left"]
    left.rename(folder / GATEWAY)  # as after a kill: nobody listens there any more
    again = start(sockets=folder)
    assert again.local(folder / GATEWAY).connect(GATEWAY) == ACCEPTED


def test_a_broker_whose_port_is_taken_leaves_the_sockets_of_the_other_alone(
    local: RunningBroker, folder: Path, authority: Authority
) -> None:
    with pytest.raises(OSError, match="in use"):
        local.run(another(local, authority, folder, local.port).start())
    gateway = local.local(folder / GATEWAY)
    assert gateway.connect(GATEWAY) == ACCEPTED
    wait_until(lambda: local.broker.connected() == {GATEWAY}, "the connection to the first broker")
