"""Bad days on purpose."""

from simulators.device import Outgoing
from simulators.faults import FaultInjector, Faults

ANSWER = Outgoing("get_gpio", b'{"number": 10, "value": 1}')


def spoilt(faults: Faults, seed: int = 1, device_id: str = "a" * 32, count: int = 200) -> list[Outgoing]:
    injector = FaultInjector(faults, seed=seed, device_id=device_id)
    return [message for _ in range(count) for message in injector.spoil([ANSWER])]


def test_without_faults_nothing_changes() -> None:
    assert spoilt(Faults(), count=3) == [ANSWER] * 3


def test_certain_faults_always_happen() -> None:
    assert spoilt(Faults(loss=1)) == []
    assert spoilt(Faults(duplicate=1), count=1) == [ANSWER, ANSWER]
    assert spoilt(Faults(wrong_pin=1), count=1) == [Outgoing("get_gpio", b'{"number": 11, "value": 1}')]
    assert spoilt(Faults(delay_ms=250), count=1) == [Outgoing("get_gpio", ANSWER.payload, after_s=0.25)]
    assert all(message.payload != ANSWER.payload for message in spoilt(Faults(malformed=1)))


def test_power_is_lost_as_often_as_the_dial_says_and_spoils_no_other_luck() -> None:
    injector = FaultInjector(Faults(reboot=0.25), seed=1, device_id="a" * 32)
    assert 200 < sum(injector.reboots() for _ in range(1000)) < 300
    assert spoilt(Faults(reboot=1), count=3) == [ANSWER] * 3
    assert not FaultInjector(Faults(), seed=1, device_id="a" * 32).reboots()


def test_jitter_stays_within_its_bounds() -> None:
    times = [message.after_s for message in spoilt(Faults(delay_ms=100, jitter_ms=50))]
    assert 0.1 <= min(times) < max(times) <= 0.15


def test_a_dial_in_the_middle_strikes_about_as_often_as_it_says() -> None:
    assert 700 < len(spoilt(Faults(loss=0.25), count=1000)) < 800


def test_the_same_seed_brings_the_same_luck_and_another_device_another() -> None:
    faults = Faults(jitter_ms=100, loss=0.3, duplicate=0.3, wrong_pin=0.3, malformed=0.3)
    assert spoilt(faults) == spoilt(faults)
    assert spoilt(faults) != spoilt(faults, seed=2)
    assert spoilt(faults) != spoilt(faults, device_id="b" * 32)
