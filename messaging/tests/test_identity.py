"""Who gets in, over real sockets with the real registry: what an enemy, a thief and a slow clock do with certificates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.models import Certificate, Device, DeviceEvent, EventKind
from devices.services import renew_certificate
from devices.tests.factories import make_account, make_device
from messaging.tests.broker.wire import wait_until
from messaging.tests.identity import IdentityBroker, files_of, identity_broker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_valkey")]
ACCEPTED, REJECTED, NOT_AUTHORISED = 0, 2, 5
HOME, AWAY = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def broker(pki: Path, transactional_db: None) -> Iterator[IdentityBroker]:
    with identity_broker(pki, takeover_flaps=3) as running:
        yield running


@pytest.fixture
def pump(pki: Path, transactional_db: None) -> Device:
    return make_device(make_account("alice"))


def shared(device: Device) -> list[DeviceEvent]:
    return list(device.events.filter(kind=EventKind.CERTIFICATE_SHARED))


# --- one certificate in two places -------------------------------------------------------------------------------------------


def test_a_copy_of_the_files_in_another_place_is_noticed_when_it_pushes_the_board_out(
    broker: IdentityBroker, pump: Device
) -> None:
    files = files_of(pump)
    board, thief = broker.board(files, HOME), broker.board(files, AWAY)
    assert board.connect(pump.hex) == ACCEPTED
    assert thief.connect(pump.hex) == ACCEPTED
    assert board.is_closed()
    wait_until(lambda: len(shared(pump)) == 1, "the alert")
    assert shared(pump)[0].detail["addresses"] == f"{HOME}, {AWAY}"
    assert Certificate.objects.get().shared_lately
    assert broker.board(files, HOME).connect(pump.hex) == ACCEPTED  # which of them is the right one is not for the broker to say


def test_two_boards_behind_one_address_are_noticed_when_they_push_each_other_out(broker: IdentityBroker, pump: Device) -> None:
    files = files_of(pump)
    for _ in range(4):
        assert broker.board(files).connect(pump.hex) == ACCEPTED
    wait_until(lambda: len(shared(pump)) == 1, "the alert")
    assert (shared(pump)[0].detail["addresses"], shared(pump)[0].detail["times"]) == (HOME, 3)


def test_a_board_that_lost_its_link_and_comes_back_is_no_copy(broker: IdentityBroker, pump: Device) -> None:
    files = files_of(pump)
    for _ in range(3):
        board = broker.board(files)
        assert board.connect(pump.hex) == ACCEPTED
    board.die()
    wait_until(lambda: not broker.broker.connected())
    assert broker.board(files, AWAY).connect(pump.hex) == ACCEPTED  # nobody was pushed out: it has moved
    assert not broker.call(lambda: broker.broker._telling)
    assert shared(pump) == []


def test_a_renewed_certificate_that_replaces_the_old_one_is_no_copy(broker: IdentityBroker, pump: Device) -> None:
    assert broker.board(files_of(pump), HOME).connect(pump.hex) == ACCEPTED
    renew_certificate(device=pump)
    assert broker.board(files_of(pump), AWAY).connect(pump.hex) == ACCEPTED
    assert not broker.call(lambda: broker.broker._telling)
    assert shared(pump) == []
