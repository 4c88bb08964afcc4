"""A session's queue and window, without any connection."""

from hypothesis import given
from hypothesis import strategies as st

from messaging.authorization import Identity, Kind
from messaging.broker.packets import Message
from messaging.broker.session import Bounds, Budget, Session
from messaging.tests.broker.wire import Received, _received


class _Link:
    def __init__(self, *, writable: bool = True) -> None:
        self.writable = writable
        self.sent: list[bytes] = []

    def send(self, packet: bytes) -> None:
        self.sent.append(packet)

    def take(self) -> list[Received]:
        taken, self.sent = self.sent, []
        return [_received(packet[0], packet[2:]) for packet in taken]


def _session(window: int = 10, queue: int = 100, **options: int) -> Session:
    """Return a session of the bridge, lossless where it has a `share`."""
    size = options.get("queue_bytes", 10_000)
    bounds = Bounds(
        window,
        options.get("window_bytes", 10_000),
        queue,
        size,
        lossless="share" in options,
        share=options.get("share", 0),
        share_bytes=options.get("share_bytes", size),
    )
    return Session("portal.bridge", Identity(Kind.BRIDGE, "portal.bridge"), bounds, clean=False)


def _message(number: int, origin: str = "x") -> Message:
    return Message(b"t", str(number).encode(), 1, origin)


def _payloads(received: list[Received]) -> list[int]:
    return [int(message.payload) for message in received]


def test_packet_ids_go_up_by_one() -> None:
    session, link = _session(), _Link()
    session.attach(link)
    for number in range(3):
        session.offer(_message(number), 1)
    assert [(message.packet_id, message.dup) for message in link.take()] == [(1, False), (2, False), (3, False)]


def test_packet_ids_begin_again_after_65535_and_pass_over_those_in_use() -> None:
    session, link = _session(), _Link()
    session.attach(link)
    session.offer(_message(0), 1)
    session._last_id = 65_534
    for number in range(2):
        session.offer(_message(number), 1)
    assert [message.packet_id for message in link.take()] == [1, 65_535, 2]


def test_no_more_than_the_window_goes_out_and_the_rest_follows_in_order() -> None:
    session, link = _session(window=2), _Link()
    session.attach(link)
    for number in range(5):
        session.offer(_message(number), 1)
    assert _payloads(link.take()) == [0, 1]
    session.acknowledge(2)
    session.acknowledge(99)
    assert _payloads(link.take()) == [2]
    session.acknowledge(1)
    session.acknowledge(3)
    assert _payloads(link.take()) == [3, 4]


def test_what_was_not_acknowledged_comes_again_first_with_its_id_and_dup() -> None:
    session, link = _session(window=2), _Link()
    session.attach(link)
    for number in range(4):
        session.offer(_message(number), 1)
    session.acknowledge(1)
    before = link.take()
    assert [message.packet_id for message in before] == [1, 2, 3]
    session.detach()
    session.offer(_message(4), 1)
    again = _Link()
    session.attach(again)
    session.pump()
    received = again.take()
    assert [(message.packet_id, message.dup) for message in received] == [(2, True), (3, True)]
    assert _payloads(received) == [1, 2]
    session.acknowledge(2)
    session.acknowledge(3)
    assert [(int(message.payload), message.packet_id, message.dup) for message in again.take()] == [(3, 4, False), (4, 5, False)]


def test_a_shut_socket_stops_even_the_second_sending() -> None:
    session, link = _session(), _Link()
    session.attach(link)
    for number in range(3):
        session.offer(_message(number), 1)
    session.detach()
    shut = _Link(writable=False)
    session.attach(shut)
    session.pump()
    session.offer(_message(3), 1)
    assert shut.take() == []
    shut.writable = True
    session.acknowledge(2)  # an id that is still to be sent again
    session.pump()
    assert _payloads(shut.take()) == [0, 2, 3]


def test_qos_0_is_not_kept_for_the_absent_but_keeps_its_place_for_the_slow() -> None:
    session, link = _session(window=1), _Link()
    session.offer(_message(0), 0)
    session.attach(link)
    session.offer(_message(1), 1)
    session.offer(_message(2), 1)
    session.offer(_message(3), 0)
    session.acknowledge(1)
    assert [(int(message.payload), message.qos) for message in link.take()] == [(1, 1), (2, 1), (3, 0)]
    session.offer(_message(4), 1)
    session.offer(_message(5), 0)
    session.detach()
    assert [int(message.payload) for message, _ in session.queue] == [4]


def test_a_full_queue_drops_what_waits_longest() -> None:
    session = _session(queue=3)
    for number in range(5):
        assert session.offer(_message(number), 1) is False
    assert [int(message.payload) for message, _ in session.queue] == [2, 3, 4]
    assert session.dropped == 2


def test_a_queue_is_bounded_in_bytes_too() -> None:
    session = _session(queue_bytes=500)
    for _ in range(10):
        session.offer(Message(b"t", b"x" * 99, 1), 1)
    assert (len(session.queue), session.queued_bytes) == (5, 500)


def test_a_lossless_queue_holds_the_one_who_fills_it_and_releases_him_at_half() -> None:
    session, link = _session(window=1, share=4), _Link()
    released: list[str] = []
    session.release = released.append
    holds = [session.offer(_message(number, "flooder"), 1) for number in range(4)]
    assert holds == [False, False, False, True]
    assert session.offer(_message(4, "quiet"), 1) is False
    session.attach(link)
    session.pump()
    assert released == []
    session.acknowledge(1)
    assert released == ["flooder"]


def _big(size: int, origin: str) -> Message:
    return Message(b"t", b"x" * (size - 1), 1, origin)


def test_a_publishers_share_is_bounded_in_bytes_too() -> None:
    session, link = _session(window=1, share=100, share_bytes=1_000), _Link()
    released: list[str] = []
    session.release = released.append
    holds = [session.offer(_big(300, "flooder"), 1) for _ in range(4)]
    assert holds == [False, False, False, True]
    assert session.offer(_big(300, "quiet"), 1) is False
    session.attach(link)
    session.pump()
    session.acknowledge(1)
    assert released == []  # 600 bytes of it still wait
    session.acknowledge(2)
    assert released == ["flooder"]


def test_the_window_is_bounded_in_bytes_too_but_one_message_always_goes() -> None:
    session, link = _session(window=10, window_bytes=1_000), _Link()
    session.attach(link)
    for size in (5_000, 400, 400, 400):
        session.offer(_big(size, "x"), 1)
    assert len(link.sent) == 1
    session.acknowledge(1)
    assert (len(link.sent), session.inflight_bytes) == (3, 800)
    session.acknowledge(2)
    assert (len(link.sent), session.inflight_bytes) == (4, 800)
    for packet_id in (3, 4):
        session.acknowledge(packet_id)
    assert (session.inflight_bytes, session.queued_bytes) == (0, 0)


def test_where_messages_may_be_dropped_a_flood_drops_its_own() -> None:
    bounds = Bounds(1, 1_000, 100, 100_000, share=3, share_bytes=1_000)
    session, link = (
        Session("portal.gateway.1", Identity(Kind.GATEWAY, "portal.gateway"), bounds, clean=True),
        _Link(writable=False),
    )
    session.attach(link)
    assert not any(session.offer(_message(number, "flooder"), 0) for number in range(50))
    session.offer(_message(50, "quiet"), 0)
    session.offer(_big(2_000, "large"), 0)
    session.offer(_big(10, "large"), 0)
    assert [message.origin for message, _ in session.queue] == ["flooder"] * 3 + ["quiet", "large"]
    assert session.dropped == 48
    link.writable = True
    session.pump()
    assert session.offer(_message(51, "flooder"), 0) is False
    assert (len(link.sent), session.queued_bytes, dict(session.waiting), dict(session.waiting_bytes)) == (6, 0, {}, {})


def test_many_sessions_together_have_one_budget() -> None:
    budget = Budget(1_000)
    bounds = Bounds(1, 1_000, 100, 800, max_age=30.0)
    names = ["a" * 32, "b" * 32]
    first, second = (Session(name, Identity(Kind.DEVICE, name), bounds, clean=False, budget=budget) for name in names)
    for session in (first, first, first, second, second):
        session.offer(_big(300, "portal.gateway.1"), 1)
    assert [len(first.queue), len(second.queue)] == [2, 1]  # the first one's own bound, then the budget
    assert budget.used == 900
    first.close()
    assert budget.used == 300
    second.offer(_big(300, "portal.gateway.1"), 1)
    for message, _ in second.queue:
        message.at -= 31
    second.forget_old()
    assert (budget.used, second.queued_bytes, len(second.queue)) == (0, 0, 0)


def test_a_gateway_has_the_whole_of_a_lossless_queue() -> None:
    session = _session(window=1, queue=10, share=2)
    holds = [session.offer(_message(number, "portal.gateway.1"), 1) for number in range(11)]
    assert holds == [False] * 9 + [True, True]


def test_a_full_lossless_queue_holds_everybody_and_releases_all_at_half() -> None:
    session, link = _session(window=1, queue=10, share=100), _Link()
    released: list[str] = []
    session.release = released.append
    holds = [session.offer(_message(number, f"d{number}"), 1) for number in range(12)]
    assert holds == [False] * 10 + [True, True]
    session.attach(link)
    session.pump()
    acknowledged = 0
    while not released:
        acknowledged += 1
        session.acknowledge(acknowledged)
    assert sorted(released) == ["d10", "d11"]
    assert len(session.queue) == 5
    assert session.dropped == 0


def test_a_closed_session_holds_nobody() -> None:
    session = _session(share=1)
    released: list[str] = []
    session.release = released.append
    assert session.offer(_message(0, "d"), 1) is True
    session.close()
    assert released == ["d"]


@given(st.lists(st.sampled_from(["offer", "ack", "cut", "stall", "go"]), max_size=200), st.integers(1, 5), st.integers(1, 6))
def test_every_message_arrives_in_order_whatever_happens_between(steps: list[str], window: int, share: int) -> None:
    session, link = _session(window=window, queue=1000, share=share), _Link()
    session.attach(link)
    offered = 0
    arrived: dict[int, int] = {}
    unacked: list[int] = []

    def collect() -> None:
        for message in link.take():
            number = int(message.payload)
            if message.packet_id in unacked:
                assert message.dup
                assert arrived[message.packet_id] == number
            else:
                assert not message.dup
                unacked.append(message.packet_id)
                arrived[message.packet_id] = number

    for step in [*steps, "go", *["ack"] * 400]:
        if step == "offer":
            session.offer(_message(offered), 1)
            offered += 1
        elif step == "ack" and unacked:
            session.acknowledge(unacked.pop(0))
        elif step == "cut":
            session.detach()
            link = _Link()
            session.attach(link)
            session.pump()
        elif step in ("stall", "go"):
            link.writable = step == "go"
            session.pump()
        collect()
        assert len(session.inflight) <= window
    # Fewer than 65,535 messages, so ids were never used twice: each id is one message, in the order of the offers.
    assert list(arrived.items()) == [(number + 1, number) for number in range(offered)]
    assert (session.inflight, len(session.queue), session.queued_bytes) == ({}, 0, 0)
    assert not session.held


def test_a_device_that_comes_back_late_gets_no_old_commands() -> None:
    bounds = Bounds(2, 10_000, 100, 10_000, max_age=30.0)
    session, link = Session("a" * 32, Identity(Kind.DEVICE, "a" * 32), bounds, clean=False), _Link()
    session.attach(link)
    messages = [_message(number) for number in range(6)]
    for message in messages:
        session.offer(message, 1)
    session.detach()
    for message in messages[:4]:  # two of them in flight, two in the queue
        message.at -= 31
    link.take()
    session.attach(link)
    session.pump()
    assert _payloads(link.take()) == [4, 5]


def test_gateways_go_on_when_devices_have_filled_the_queue() -> None:
    session = _session(queue=10, share=100)
    assert any(session.offer(_message(number, "device"), 1) for number in range(12))
    assert not session.offer(_message(12, "portal.gateway.1"), 1)
    assert any(session.offer(_message(number, "portal.gateway.1"), 1) for number in range(13, 30))
