"""Which take-overs mean that a certificate is in two places."""

from messaging.broker.takeovers import Shared, Takeovers

ONE, TWO = "192.0.2.1", "192.0.2.2"


def make() -> Takeovers:
    return Takeovers(window=600, flaps=3, quiet=60)


def test_one_from_another_address_is_told_at_once() -> None:
    assert make().note("f", ONE, TWO, 0.0) == Shared("f", (ONE, TWO), 1, 10)


def test_from_one_address_several_in_a_short_time_are_told() -> None:
    takeovers = make()
    assert [takeovers.note("f", ONE, ONE, at) for at in (0.0, 700.0, 800.0)] == [None] * 3
    assert takeovers.note("f", ONE, ONE, 900.0) == Shared("f", (ONE,), 3, 10)


def test_what_was_told_is_told_again_after_a_while_with_all_that_happened_since() -> None:
    takeovers = make()
    assert takeovers.note("f", ONE, TWO, 0.0) is not None
    assert takeovers.note("f", TWO, ONE, 30.0) is None
    assert takeovers.note("f", ONE, TWO, 61.0) == Shared("f", (ONE, TWO), 3, 10)


def test_certificates_are_not_mixed_up_and_only_so_many_are_remembered() -> None:
    takeovers = make()
    for number in range(20_000):
        assert takeovers.note(f"{number}", ONE, ONE, 0.0) is None
    assert len(takeovers._seen) == 10_000


def test_a_storm_of_them_does_not_fill_the_memory() -> None:
    takeovers = make()
    told = [takeovers.note("f", ONE, f"10.0.{at // 250}.{at % 250}", at / 100) for at in range(1_000)]
    assert sum(shared is not None for shared in told) == 1
    assert len(takeovers._seen["f"].takeovers) == 30
