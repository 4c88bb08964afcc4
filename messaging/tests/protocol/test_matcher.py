"""The lanes of one device, one story at a time. `test_matcher_properties` plays them all together."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from devices.profiles import Profile, get_profile
from messaging.protocol.codec import Answer, decode_answer, prepare_command
from messaging.protocol.matcher import (
    Action,
    Command,
    Deliver,
    Lanes,
    Late,
    ReleaseLock,
    Send,
    TimedOut,
    Unsolicited,
    WantLock,
)

STANDARD, FT900, MODERN = get_profile("standard"), get_profile("ft900"), get_profile("modern")


class Bench:
    """The lanes of a device with the lock always granted at once, and a clock that the test moves."""

    def __init__(self, profile: Profile, *, lock: bool = True, max_handover: int = 16) -> None:
        self.profile = profile
        self.lanes = Lanes(profile, grace_s=2.0, max_handover=max_handover)
        self.lock = lock
        self.now = 0.0

    def ask(self, command_id: str, api: str, timeout: float = 5.0, **arguments: object) -> list[Action]:
        declared = self.profile.api(api)
        checked = prepare_command(self.profile, declared, arguments).arguments
        return self.granted(self.lanes.submit(Command(command_id, declared, checked, self.now + timeout), self.now))

    def say(self, api: str, *, raw: str = "", **fields: object) -> list[Action]:
        answer = self.answer(api, raw=raw, **fields)
        return self.granted(self.lanes.answer(api, answer, self.now))

    def answer(self, api: str, *, raw: str = "", **fields: object) -> Answer:
        return decode_answer(self.profile, self.profile.api(api), (raw or json.dumps(fields)).encode())

    def cancel(self, command_id: str, *, sent: bool = True) -> list[Action]:
        return self.granted(self.lanes.cancel(command_id, self.now, sent=sent))

    def at(self, now: float) -> list[Action]:
        self.now = now
        return self.granted(self.lanes.tick(now))

    def granted(self, actions: list[Action]) -> list[Action]:
        """Grant each wanted lock, and leave the locks out of what is told."""
        if not self.lock:
            return actions
        told: list[Action] = []
        for action in actions:
            if isinstance(action, WantLock):
                told += self.granted(self.lanes.lock_granted(action.lane, self.now))
            elif not isinstance(action, ReleaseLock):
                told.append(action)
        return told


def test_two_callers_asking_two_pins_each_get_their_own() -> None:
    bench = Bench(STANDARD)
    assert bench.ask("a", "get_gpio", number=3) == [Send("a", 1)]
    assert bench.ask("b", "get_gpio", number=4) == []
    three, four = bench.answer("get_gpio", number=3, value=0), bench.answer("get_gpio", number=4, value=1)
    assert bench.say("get_gpio", number=4, value=1) == [Unsolicited("get_gpio", four)]  # nobody asked for it yet
    assert bench.say("get_gpio", number=3, value=0) == [Deliver("a", three), Send("b", 1)]
    assert bench.say("get_gpio", number=3, value=0) == [Unsolicited("get_gpio", three)]  # a duplicate
    assert bench.say("get_gpio", number="4", value="1") == [Deliver("b", four)]
    assert bench.lanes.idle


def test_other_apis_do_not_wait() -> None:
    bench = Bench(STANDARD)
    assert bench.ask("a", "get_gpio", number=3) == [Send("a", 1)]
    assert bench.ask("b", "get_rtc") == [Send("b", 1)]
    assert bench.ask("c", "set_gpio", number=3, value=1) == [Send("c", 1)]


def test_a_set_is_matched_by_its_value_too() -> None:
    bench = Bench(STANDARD)
    bench.ask("a", "set_gpio", number=3, value=1)
    assert [type(action) for action in bench.say("set_gpio", number=3, value=0)] == [Unsolicited]
    assert [type(action) for action in bench.say("set_gpio", number=3, value=1)] == [Deliver]


def test_a_late_answer_is_recorded_and_handed_to_nobody() -> None:
    bench = Bench(STANDARD)
    bench.ask("a", "get_gpio", number=3, timeout=1)
    assert bench.lanes.next_wakeup() == 1
    assert bench.at(1) == [TimedOut("a", sent=True)]
    assert bench.ask("same", "get_gpio", number=3) == []  # its answer could be a's
    bench.now = 1.5
    answer = bench.answer("get_gpio", number=3, value=0)
    assert bench.say("get_gpio", number=3, value=0) == [Late("a", answer, 1.5), Send("same", 1)]
    assert bench.say("get_gpio", number=3, value=0) == [Deliver("same", answer)]


def test_a_question_that_can_be_told_apart_does_not_wait_for_a_ghost() -> None:
    bench = Bench(STANDARD)
    bench.ask("a", "get_gpio", number=3, timeout=1)
    bench.at(1)
    assert bench.ask("other", "get_gpio", number=4) == [Send("other", 1)]
    late = bench.answer("get_gpio", number=3, value=1)
    assert bench.say("get_gpio", number=3, value=1) == [Late("a", late, 1.0)]
    assert [type(action) for action in bench.say("get_gpio", number=4, value=0)] == [Deliver]


@pytest.mark.parametrize(("api", "arguments"), [("get_rtc", {}), ("set_status", {"value": "restart"}), ("get_soil", {})])
def test_where_nothing_is_echoed_the_lane_stays_closed_for_the_grace(api: str, arguments: dict[str, Any]) -> None:
    bench = Bench(STANDARD)
    bench.ask("a", api, timeout=1, **arguments)
    bench.at(1)
    assert bench.ask("b", api, **arguments) == []
    assert bench.at(2.9) == []
    assert bench.lanes.next_wakeup() == 3
    assert bench.at(3) == [Send("b", 1)]


def test_a_caller_that_left_leaves_a_ghost_if_its_command_was_sent() -> None:
    bench = Bench(STANDARD)
    bench.ask("a", "get_rtc")
    bench.ask("b", "get_rtc")
    bench.ask("c", "get_rtc")
    assert bench.cancel("b") == []
    assert bench.cancel("a") == []
    assert [type(action) for action in bench.say("get_rtc", value=1)] == [Late, Send]
    assert [action.command_id for action in bench.say("get_rtc", value=2) if isinstance(action, Deliver)] == ["c"]
    assert bench.cancel("nobody") == []


def test_a_command_that_was_never_published_leaves_no_ghost() -> None:
    bench = Bench(STANDARD)
    bench.ask("a", "get_rtc")
    bench.ask("b", "get_rtc")
    assert bench.cancel("a", sent=False) == [Send("b", 1)]


def test_each_waits_until_its_own_deadline() -> None:
    bench = Bench(STANDARD)
    bench.ask("a", "get_rtc", timeout=5)
    bench.ask("b", "get_rtc", timeout=1)
    bench.ask("c", "get_rtc", timeout=9)
    assert bench.lanes.next_wakeup() == 1
    assert bench.at(1) == [TimedOut("b", sent=False)]
    assert bench.at(5) == [TimedOut("a", sent=True)]
    assert bench.at(7) == [Send("c", 1)]
    assert bench.ask("d", "get_rtc", timeout=0) == [TimedOut("d", sent=False)]


def test_an_answer_at_the_deadline_is_late_even_if_nobody_looked_at_the_clock() -> None:
    bench = Bench(STANDARD)
    bench.ask("a", "get_rtc", timeout=1)
    bench.now = 1.0
    assert [type(action) for action in bench.say("get_rtc", value=1)] == [TimedOut, Late]


def test_a_malformed_answer_ends_the_wait_with_an_error() -> None:
    bench = Bench(STANDARD)
    bench.ask("a", "get_gpio", number=3)
    broken = bench.answer("get_gpio", raw="{")
    assert broken.failed
    assert bench.say("get_gpio", raw="{") == [Deliver("a", broken)]
    # It did not say whose it was, so a's own answer may still come: an identical question waits for that.
    assert bench.ask("same", "get_gpio", number=3) == []
    assert bench.ask("other", "get_gpio", number=4) == []
    assert [type(action) for action in bench.say("get_gpio", number=3, value=0)] == [Unsolicited, Send]


def test_a_malformed_answer_that_could_be_a_ghosts_is_the_ghosts() -> None:
    bench = Bench(STANDARD)
    bench.ask("a", "get_gpio", number=3, timeout=1)
    bench.at(1)
    bench.ask("b", "get_gpio", number=4)
    assert [action.command_id for action in bench.say("get_gpio", raw="{") if isinstance(action, Late)] == ["a"]
    assert bench.ask("same", "get_gpio", number=3) == []  # for b may have said it, and a's answer still come
    assert [type(action) for action in bench.say("get_gpio", number=4, value=1)] == [Deliver]


def test_a_cut_text_that_could_be_two_commands_does_not_clear_the_ghost() -> None:
    bench = Bench(STANDARD)
    bench.ask("a", "write_uart", value="hello one", timeout=1)
    bench.at(1)
    assert bench.ask("b", "write_uart", value="hello two") == [Send("b", 1)]
    assert [type(action) for action in bench.say("write_uart", raw='{"value": "hello ')] == [Late]
    assert [type(action) for action in bench.say("write_uart", value="hello two")] == [Deliver]
    assert bench.ask("same", "write_uart", value="hello one") == []
    assert [type(action) for action in bench.say("write_uart", raw='{"value": "hello o')] == [Late, Send]


def test_a_text_that_comes_back_cut_and_unescaped_is_known_again() -> None:
    bench = Bench(FT900)
    text = 'say "hi" ' + "x" * 90
    bench.ask("a", "write_uart", value=text)
    [delivered] = bench.say("write_uart", raw=f'{{"value": "{text}"}}'[:105])
    assert isinstance(delivered, Deliver)
    assert not delivered.answer.failed
    assert text.startswith(delivered.answer.text or "?")


def test_a_notification_that_the_device_raises_by_itself_is_not_taken_for_an_answer() -> None:
    bench = Bench(STANDARD)
    event = bench.answer("trigger_notification", recipient="+1", message="door open")
    assert bench.say("trigger_notification", recipient="+1", message="door open") == [Unsolicited("trigger_notification", event)]
    bench.ask("a", "trigger_notification", recipient="+1", message="test")
    assert bench.say("trigger_notification", recipient="+1", message="door open") == [Unsolicited("trigger_notification", event)]
    assert [type(action) for action in bench.say("trigger_notification", recipient="+1", message="test")] == [Deliver]


def test_a_deaf_device_gets_one_command_at_a_time_and_a_pause_after_each_answer() -> None:
    bench = Bench(FT900)
    assert bench.ask("a", "get_gpio", number=3) == [Send("a", 1)]
    assert bench.ask("b", "get_rtc") == []
    bench.now = 0.05
    assert [type(action) for action in bench.say("get_gpio", number=3, value=0)] == [Deliver]
    assert bench.lanes.next_wakeup() == pytest.approx(0.2)
    assert bench.at(0.19) == []
    assert bench.at(0.2) == [Send("b", 1)]


def test_a_silent_read_is_repeated_once_and_its_second_answer_absorbed() -> None:
    bench = Bench(FT900)
    bench.ask("a", "get_rtc", timeout=5)
    bench.ask("b", "get_rtc", timeout=5)
    bench.ask("c", "get_ip", timeout=9)
    assert bench.lanes.next_wakeup() == 1.0
    assert bench.at(1.0) == [Send("a", 2)]
    assert [type(action) for action in bench.say("get_rtc", value=1)] == [Deliver]
    assert bench.at(1.15) == []  # b waits: the next answer may be a's second
    assert [type(action) for action in bench.say("get_rtc", value=1)] == [Unsolicited]
    assert bench.at(1.3) == [Send("b", 1)]
    assert bench.at(2.3) == [Send("b", 2)]
    assert bench.at(4.9) == []
    assert bench.at(5.0) == [TimedOut("b", sent=True), Send("c", 1)]


def test_the_repetition_comes_within_the_callers_time() -> None:
    bench = Bench(FT900)
    bench.ask("a", "get_rtc", timeout=1)
    assert bench.at(0.5) == [Send("a", 2)]
    assert bench.at(0.99) == []  # once is enough
    assert bench.at(1) == [TimedOut("a", sent=True)]


@pytest.mark.parametrize(
    ("api", "arguments"), [("set_gpio", {"number": 3, "value": 1}), ("write_uart", {"value": "x"}), ("blink", {})]
)
def test_a_set_is_never_repeated(api: str, arguments: dict[str, Any]) -> None:
    bench = Bench(FT900)
    bench.ask("a", api, **arguments)
    assert bench.at(4.9) == []
    assert bench.at(5) == [TimedOut("a", sent=True)]


def test_a_deaf_device_is_left_alone_while_it_works_for_a_caller_that_left() -> None:
    bench = Bench(FT900)
    bench.ask("a", "set_gpio", number=3, value=1)
    bench.cancel("a")
    assert bench.ask("b", "get_rtc") == []
    assert [type(action) for action in bench.say("set_gpio", number=3, value=1)] == [Late]
    assert bench.at(0.15) == [Send("b", 1)]


def test_in_the_one_lane_of_a_device_a_ghost_claims_no_answer_of_another_api() -> None:
    bench = Bench(FT900)
    bench.ask("a", "set_status", value="restart", timeout=1)
    bench.at(1)
    assert bench.ask("b", "get_ip") == [Send("b", 1)]
    assert [type(action) for action in bench.say("get_ip", value="192.168.100.5")] == [Deliver]


def test_a_device_that_repeats_ids_is_asked_everything_at_once() -> None:
    bench = Bench(MODERN, lock=False)
    assert bench.ask("a", "get_rtc") == [Send("a", 1)]
    assert bench.ask("b", "get_rtc") == [Send("b", 1)]
    assert [a.command_id for a in bench.say("get_rtc", id="b", value=1) if isinstance(a, Deliver)] == ["b"]
    assert [type(a) for a in bench.say("get_rtc", id="b", value=1)] == [Unsolicited]
    assert [type(a) for a in bench.say("get_rtc", value=1)] == [Unsolicited]
    assert [type(a) for a in bench.say("get_ip", id="a", value="1.2.3.4")] == [Unsolicited]
    assert [a.command_id for a in bench.say("get_rtc", id="a", error="no") if isinstance(a, Deliver)] == ["a"]
    assert bench.lanes.idle


def test_a_device_that_repeats_ids_may_be_late_too() -> None:
    bench = Bench(MODERN, lock=False)
    bench.ask("a", "get_rtc", timeout=1)
    assert bench.at(1) == [TimedOut("a", sent=True)]
    assert bench.ask("b", "get_rtc") == [Send("b", 1)]
    assert [type(a) for a in bench.say("get_rtc", id="a", value=1)] == [Late]


def test_broken_json_without_its_id_goes_to_the_only_one_who_waits_or_to_nobody() -> None:
    bench = Bench(MODERN, lock=False)
    bench.ask("a", "get_rtc")
    assert [type(a) for a in bench.say("get_rtc", raw="{")] == [Deliver]
    bench.at(9)
    bench.ask("b", "get_rtc")
    bench.ask("c", "get_rtc")
    assert [type(a) for a in bench.say("get_rtc", raw="{")] == [Unsolicited]


def test_nothing_is_sent_before_the_lock_between_processes_is_ours() -> None:
    bench = Bench(STANDARD, lock=False)
    assert bench.ask("a", "get_gpio", number=3) == [WantLock("get_gpio")]
    assert bench.ask("b", "get_gpio", number=4) == []
    assert bench.lanes.lock_granted("get_gpio", 0) == [Send("a", 1)]
    assert [type(a) for a in bench.say("get_gpio", number=3, value=0)] == [Deliver, Send]
    assert [type(a) for a in bench.say("get_gpio", number=4, value=0)] == [Deliver, ReleaseLock]


def test_the_lock_is_held_over_the_pause_and_over_ghosts() -> None:
    bench = Bench(FT900, lock=False)
    assert bench.ask("a", "get_gpio", number=3) == [WantLock("*")]
    bench.lanes.lock_granted("*", 0)
    assert bench.lanes.lock_needed_until("*") == pytest.approx(7.15)
    assert [type(a) for a in bench.say("get_gpio", number=3, value=0)] == [Deliver]
    assert bench.at(0.15) == [ReleaseLock("*")]
    assert bench.lanes.lock_needed_until("*") == 0.0
    bench.ask("b", "set_gpio", number=3, value=1, timeout=1)
    bench.lanes.lock_granted("*", bench.now)
    assert bench.at(1.15) == [TimedOut("b", sent=True)]
    assert bench.lanes.lock_needed_until("*") == pytest.approx(3.3)
    assert bench.at(3.15) == [ReleaseLock("*")]
    assert bench.lanes.idle


def test_a_lock_that_comes_when_nobody_waits_any_more_is_given_back() -> None:
    bench = Bench(STANDARD, lock=False)
    bench.ask("a", "get_rtc", timeout=1)
    assert bench.at(1) == [TimedOut("a", sent=False)]
    assert bench.lanes.lock_granted("get_rtc", 2) == [ReleaseLock("get_rtc")]
    assert bench.lanes.idle
    assert bench.lanes.lock_granted("get_rtc", 2) == [ReleaseLock("get_rtc")]


def test_other_processes_get_their_turn() -> None:
    bench = Bench(STANDARD, lock=False, max_handover=2)
    for command_id in "abc":
        bench.ask(command_id, "get_rtc")
    assert bench.lanes.lock_granted("get_rtc", 0) == [Send("a", 1)]
    assert [type(a) for a in bench.say("get_rtc", value=1)] == [Deliver, Send]
    assert [type(a) for a in bench.say("get_rtc", value=1)] == [Deliver, ReleaseLock, WantLock]
    assert bench.lanes.lock_granted("get_rtc", 0) == [Send("c", 1)]


def test_a_lost_lock_is_asked_for_again_and_its_command_still_answered() -> None:
    bench = Bench(STANDARD, lock=False)
    bench.ask("a", "get_rtc")
    bench.lanes.lock_granted("get_rtc", 0)
    bench.ask("b", "get_rtc")
    assert bench.lanes.lock_lost("get_rtc", 0) == [WantLock("get_rtc")]
    assert [type(a) for a in bench.say("get_rtc", value=1)] == [Deliver]
    assert bench.lanes.lock_granted("get_rtc", 0) == [Send("b", 1)]
    assert bench.lanes.lock_lost("get_ip", 0) == []


def test_what_is_asked_and_never_answered_leaves_nothing_behind() -> None:
    bench = Bench(replace(STANDARD, retry_silent_read=True))
    for number in range(50):
        bench.ask(f"c{number}", f"get_thing{number}")
    bench.at(5)
    bench.at(7)
    assert bench.lanes.idle
    assert bench.lanes.next_wakeup() is None


@pytest.mark.parametrize(("profile", "lane"), [(STANDARD, "get_status"), (FT900, "*")])
def test_a_lock_that_comes_with_a_command_that_is_over_already_is_given_back(profile: Profile, lane: str) -> None:
    lanes = Lanes(profile, grace_s=2.0)
    command = Command("a", profile.api("get_status"), {}, 1.0)
    assert lanes.submit(command, 1.0, locked=True) == [TimedOut("a", sent=False), ReleaseLock(lane)]
    assert lanes.idle
    assert lanes.submit(replace(command, id="b", deadline=9.0), 2.0) == [WantLock(lane)]


def test_a_lock_that_nothing_needs_any_more_is_given_back() -> None:
    lanes = Lanes(MODERN, grace_s=2.0)
    actions = lanes.submit(Command("a", MODERN.api("get_status"), {}, 5.0), 0.0, locked=True)
    assert actions == [ReleaseLock("get_status"), Send("a", attempt=1)]
