"""What is counted in sliding windows, and the one client that counts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.core.cache import caches
from django.utils import timezone

from iotportal import windows
from iotportal.windows import Counter, Full

pytestmark = pytest.mark.usefixtures("clean_valkey")

FEW = Counter("few:anna", ((2, 60),), mark="anna")
MANY = Counter("many:anna", ((3, 60), (4, 3600)))


def later(**by: float) -> time_machine.travel:
    return time_machine.travel(timezone.now() + timedelta(**by), tick=False)


def test_each_counter_says_how_many_more_it_takes() -> None:
    assert windows.count("kind", [FEW, MANY]).left == (1, 2)


def test_what_is_refused_is_not_counted_there_but_stays_counted_before() -> None:
    for _ in range(2):
        windows.count("kind", [FEW])
    for _ in range(2):
        with pytest.raises(Full) as refused:
            windows.count("kind", [MANY, FEW])
    assert 50 <= refused.value.wait_s <= 60
    with pytest.raises(Full):
        windows.count("kind", [FEW])
    assert windows.count("kind", [MANY]).left == (0,)


def test_the_oldest_makes_room_and_the_longer_rate_holds() -> None:
    for _ in range(3):
        windows.count("kind", [MANY])
    with later(seconds=61):
        windows.count("kind", [MANY])
        with pytest.raises(Full) as refused:
            windows.count("kind", [MANY])
        assert 3300 < refused.value.wait_s <= 3600
    with later(seconds=3601):
        assert windows.count("kind", [MANY]).left == (2,)


def test_many_are_counted_in_one_go_in_their_order_and_each_id_once() -> None:
    uses = [("first", [MANY, FEW]), ("second", [FEW]), ("third", [FEW, MANY]), ("fourth", [MANY])]
    for _ in range(2):
        first, second, third, fourth = windows.count_each("kind", uses)
        assert (first, second, fourth) == (0, 0, 0)
        assert 50 <= third <= 60
    assert windows.full("kind") == {"anna"}
    assert windows.count("kind", [MANY]).left == (0,)


def test_the_full_ones_are_listed_until_there_is_room() -> None:
    windows.count("kind", [FEW])
    assert windows.full("kind") == set()
    windows.count("kind", [FEW])

    assert windows.full("kind") == {"anna"}
    assert windows.full("other kind") == set()
    with later(seconds=61):
        assert windows.full("kind") == set()


def test_what_is_taken_back_makes_room_at_once() -> None:
    windows.count("kind", [FEW])
    counted = windows.count("kind", [MANY, FEW])
    counted.take_back([FEW])

    assert windows.full("kind") == set()
    assert windows.count("kind", [MANY, FEW]).left == (1, 0)


def test_what_is_cleared_is_counted_anew_and_listed_no_longer() -> None:
    for _ in range(2):
        windows.count("kind", [FEW])
    windows.clear("kind", [FEW, MANY])

    assert windows.full("kind") == set()
    assert windows.count("kind", [FEW]).left == (1,)


def test_of_many_at_once_no_more_get_through() -> None:
    crowd = Counter("crowd", ((5, 60),))

    def through(_: int) -> bool:
        try:
            windows.count("kind", [crowd])
        except Full:
            return False
        return True

    with ThreadPoolExecutor(10) as threads:
        assert sum(threads.map(through, range(40))) == 5


def test_all_threads_ask_the_cache_through_one_client() -> None:
    def client(_: int) -> int:
        return id(caches["default"]._cache.get_client())  # type: ignore[attr-defined]  # what is below Django's cache

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(client, range(8)))) == 1
