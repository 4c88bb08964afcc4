"""Whatever callers, the device, the other processes and time do, nobody gets another's answer and nothing hangs.

The world below holds the truth that the matcher cannot see: which answer the device made for which command. Hypothesis plays
callers, device, network, lock and clock against the matcher in any order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from devices.profiles import Profile, get_profile
from messaging.protocol.codec import Answer, decode_answer, prepare_command, told_apart
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

GRACE_S = 2.0
MAX_HANDOVER = 3
LONG = "x" * 116  # where an answer is cut, what follows is gone
PROFILES = {
    "standard": get_profile("standard"),
    "ft900": get_profile("ft900"),
    "modern": get_profile("modern"),
    "standard, asks twice": replace(get_profile("standard"), retry_silent_read=True),
    "ft900 with ids": replace(get_profile("ft900"), echo_id=True),
}
QUESTIONS: list[tuple[str, dict[str, object]]] = [
    ("get_gpio", {"number": 3}),
    ("get_gpio", {"number": 4}),
    ("get_gpio", {"number": "3"}),
    ("set_gpio", {"number": 3, "value": 0}),
    ("set_gpio", {"number": 3, "value": 1}),
    ("get_rtc", {}),
    ("set_rtc", {"value": 1574000000}),
    ("set_status", {"value": "restart"}),
    ("write_uart", {"value": "hello"}),
    ("write_uart", {"value": "hello world"}),
    ("write_uart", {"value": 'say "hi"'}),
    ("write_uart", {"value": 'say "ho"'}),
    ("write_uart", {"value": "say so"}),
    ("write_uart", {"value": LONG + "y"}),
    ("write_uart", {"value": LONG + "z"}),
    ("trigger_notification", {"recipient": "a@b.c", "message": "one"}),
    ("trigger_notification", {"recipient": "a@b.c", "message": "two"}),
    ("get_soil", {"depth": 1}),
    ("get_soil", {"depth": 2}),
]
FORMS = ["plain", "plain", "plain", "liberal", "broken", "unescaped", "first half", "to its quote"]

CLEAR = ["plain", "liberal", "unescaped", "to its quote"]  # what firmware does as a habit, and must not cost an answer


@dataclass(eq=False)
class Asked:
    """A command, and the truth about it."""

    command: Command
    order: int
    sends: list[float] = field(default_factory=list)
    ended_at: float | None = None
    cancelled: bool = False
    answers: int = 0  # how many of the device's arrived, in whatever form
    plain_answers: int = 0  # of these, how many whole

    def lane(self, profile: Profile) -> str:
        return "*" if profile.lane == "device" else self.command.api.name

    def in_flight(self) -> bool:
        return bool(self.sends) and self.ended_at is None

    def haunts(self, now: float) -> bool:
        return (
            bool(self.sends)
            and self.ended_at is not None
            and now < self.ended_at + GRACE_S
            and self.plain_answers < len(self.sends)
        )


class World(RuleBasedStateMachine):
    # Few questions in a run, mostly of one api, so that callers get in each other's way.
    @initialize(
        kind=st.sampled_from(sorted(PROFILES)),
        questions=st.lists(st.sampled_from(QUESTIONS), min_size=1, max_size=2),
        apis=st.sampled_from(sorted({name for name, _ in QUESTIONS})),
        idle_lock=st.booleans(),
    )
    def begin(self, kind: str, questions: list[tuple[str, dict[str, object]]], apis: str, idle_lock: bool) -> None:
        self.questions = questions + [question for question in QUESTIONS if question[0] == apis]
        self.idle_lock = idle_lock  # no other process is there: the lock comes at once
        self.profile = profile = PROFILES[kind]
        self.with_ids = profile.echo_id
        self.one_at_a_time = profile.lane == "device" or not profile.echo_id
        self.lanes = Lanes(profile, GRACE_S, MAX_HANDOVER)
        self.now = 100.0
        self.asked: dict[str, Asked] = {}
        self.owed: list[Asked] = []  # answers that the device has not given yet
        self.given: list[tuple[Asked, bytes]] = []  # complete answers that arrived: what could come a second time
        self.origin: dict[int, tuple[Asked | None, Answer]] = {}  # the Answer is kept so that its id stays its own
        self.locks: dict[str, str] = {}  # lane: wanted | held
        self.was_lost: set[str] = set()
        self.sent_since_grant: dict[str, int] = {}
        self.settled_at: dict[str, float] = {}  # after an answer that the matcher could place
        self.perhaps_settled_at: dict[str, float] = {}  # after any answer
        self.last_order: dict[str, int] = {}

    # What the matcher orders -----------------------------------------------------------------------------------------------

    def do(self, actions: list[Action]) -> list[Action]:
        handlers: dict[type, Callable[[Any], None]] = {
            Send: self.on_send,
            Deliver: self.on_deliver,
            TimedOut: self.on_timed_out,
            Late: self.on_late,
            Unsolicited: lambda _: None,
            WantLock: self.on_want_lock,
            ReleaseLock: self.on_release_lock,
        }
        for action in actions:
            handlers[type(action)](action)
        return actions

    def on_send(self, send: Send) -> None:
        asked = self.asked[send.command_id]
        lane = asked.lane(self.profile)
        assert asked.ended_at is None
        assert self.now < asked.command.deadline
        if send.attempt == 1:
            assert not asked.sends
            self.check_turn(asked, lane)
        else:
            assert send.attempt == 2
            assert len(asked.sends) == 1
            assert asked.command.api.kind == "get", "a set was repeated"
            assert self.profile.retry_silent_read
        asked.sends.append(self.now)
        self.owed.append(asked)

    def check_turn(self, asked: Asked, lane: str) -> None:
        assert asked.order > self.last_order.get(lane, -1), "overtaken in its lane"
        self.last_order[lane] = asked.order
        if not self.one_at_a_time:
            return
        assert self.locks.get(lane) == "held"
        assert not any(other.in_flight() for other in self.in_lane(lane)), "two at a time"
        assert self.now >= self.settled_at.get(lane, 0), "sent to a deaf device"
        assert not any(self.clash(ghost, asked) for ghost in self.in_lane(lane) if ghost.haunts(self.now))
        self.sent_since_grant[lane] += 1
        assert self.sent_since_grant[lane] <= MAX_HANDOVER

    def on_deliver(self, deliver: Deliver) -> None:
        asked = self.asked[deliver.command_id]
        assert self.origin[id(deliver.answer)][0] is asked, "somebody else's answer"
        assert asked.in_flight()
        assert self.now < asked.command.deadline
        self.end(asked)

    def on_timed_out(self, timed_out: TimedOut) -> None:
        asked = self.asked[timed_out.command_id]
        assert asked.ended_at is None
        assert asked.command.deadline <= self.now
        assert timed_out.sent == bool(asked.sends)
        self.end(asked)

    def on_late(self, late: Late) -> None:
        asked = self.asked[late.command_id]
        assert asked.ended_at is not None
        assert late.elapsed == self.now - asked.sends[0]

    def on_want_lock(self, want: WantLock) -> None:
        assert want.lane not in self.locks
        self.locks[want.lane] = "wanted"

    def on_release_lock(self, release: ReleaseLock) -> None:
        lane = release.lane
        assert self.locks.pop(lane) == "held"
        assert not any(asked.in_flight() for asked in self.in_lane(lane))
        assert self.now >= self.settled_at.get(lane, 0)
        if lane not in self.was_lost:
            assert not any(asked.haunts(self.now) and not self.surely_answered(asked) for asked in self.in_lane(lane))

    # What is true ----------------------------------------------------------------------------------------------------------

    def end(self, asked: Asked) -> None:
        assert asked.ended_at is None, "ended twice"
        asked.ended_at = self.now

    def in_lane(self, lane: str) -> list[Asked]:
        return [asked for asked in self.asked.values() if asked.lane(self.profile) == lane]

    def alike(self, one: Asked, other: Asked) -> bool:
        """Whether one answer could be to either."""
        if self.with_ids:
            return one is other
        first, second = one.command, other.command
        return first.api.name == second.api.name and not told_apart(first.api, first.arguments, second.arguments)

    def clash(self, ghost: Asked, asked: Asked) -> bool:
        """Whether `asked` must not be sent while `ghost` may still be answered."""
        if self.surely_answered(ghost):
            return False
        busy = self.profile.lane == "device" and ghost.cancelled
        return busy or (not self.with_ids and self.alike(ghost, asked))

    def surely_answered(self, asked: Asked) -> bool:
        """Whether nothing of it can come any more."""
        return not any(owed is asked for owed in self.owed)

    # What happens ----------------------------------------------------------------------------------------------------------

    @rule(picks=st.lists(st.integers(0, 99), min_size=1, max_size=4), timeout=st.sampled_from([0.5, 1.0, 5.0, 5.0, 30.0]))
    def callers_ask(self, picks: list[int], timeout: float) -> None:
        for pick in picks:
            self.ask(*self.questions[pick % len(self.questions)], timeout)

    def ask(self, name: str, arguments: dict[str, object], timeout: float) -> None:
        api = self.profile.api(name)
        if self.profile.payload_limit_bytes and LONG in str(arguments.get("value")):
            return  # too long for it
        order = len(self.asked)
        checked = prepare_command(self.profile, api, arguments).arguments
        command = Command(f"c{order}", api, checked, self.now + timeout)
        self.asked[command.id] = Asked(command, order)
        self.do(self.lanes.submit(command, self.now))
        if self.idle_lock:
            self.grant_locks()

    @rule()
    def grant_locks(self) -> None:
        for _ in range(100):
            wanted = sorted(name for name, state in self.locks.items() if state == "wanted")
            if not wanted:
                return
            self.grant(wanted[0])
        raise AssertionError("it asks for the lock again and again")

    def grant(self, lane: str) -> None:
        self.locks[lane] = "held"
        self.sent_since_grant[lane] = 0
        self.do(self.lanes.lock_granted(lane, self.now))

    @rule(data=st.data())
    def lose_lock(self, data: st.DataObject) -> None:
        if self.locks and data.draw(st.integers(0, 9)) == 0:
            lane = data.draw(st.sampled_from(sorted(self.locks)))
            del self.locks[lane]
            self.was_lost.add(lane)
            self.do(self.lanes.lock_lost(lane, self.now))

    @precondition(lambda self: self.owed)
    @rule(pick=st.sampled_from([-1, -1, -2, 0]), form=st.sampled_from(FORMS), lag=st.sampled_from([0, 0, 0, 0.25, 1.5]))
    def device_answers(self, pick: int, form: str, lag: float) -> None:
        self.now += lag  # the clock may have passed deadlines that nobody looked at yet
        asked = self.owed.pop(max(pick, -len(self.owed)))
        too_late = asked.ended_at is not None and self.now >= asked.ended_at + GRACE_S
        readable = self.with_ids and form not in ("broken", "first half")
        if too_late and not readable and any(other.in_flight() or other.haunts(self.now) for other in self.asked.values()):
            self.do(self.lanes.tick(self.now))  # nobody can tell: the limit that the matcher states
            return
        payload = self.payload(asked, form)
        answered_before = asked.answers
        asked.answers += 1
        if form == "plain":
            asked.plain_answers += 1
            self.given.append((asked, payload))
        waited = asked.in_flight() and self.now < asked.command.deadline
        done = self.deliver(asked, payload)
        if waited and form in CLEAR:
            assert asked.ended_at is not None, "its own answer was booked on another"
        if form == "plain" and not too_late and not answered_before:
            assert not any(isinstance(action, Unsolicited) for action in done), "its own answer was not known again"
        if form == "plain":
            assert all(action.command_id == asked.command.id for action in done if isinstance(action, Late))
        if lag:  # in the other lanes; this one was seen to with the answer
            self.do(self.lanes.tick(self.now))

    @rule(answers=st.integers(2, 8), pause=st.sampled_from([0.01, 0.15]))
    def device_keeps_up(self, answers: int, pause: float) -> None:
        for _ in range(answers):
            if self.owed:
                self.device_answers(-1, "plain", 0)
            self.time_passes(pause)

    @rule(
        first=st.sampled_from(QUESTIONS),
        second=st.integers(0, 99),
        forms=st.lists(st.sampled_from(FORMS), min_size=1, max_size=3),
        picks=st.lists(st.sampled_from([-1, -2]), min_size=3, max_size=3),
        leaves=st.booleans(),
    )
    def device_is_slow(
        self, first: tuple[str, dict[str, object]], second: int, forms: list[str], picks: list[int], leaves: bool
    ) -> None:
        """A ghost and its rival, which is often of the same api: what the matcher is for, and seldom met by chance."""
        self.ask(*first, 0.5)
        self.grant_locks()
        if leaves:
            self.caller_leaves(-1, sent=True)
        self.time_passes(0.01 if leaves else 0.5)
        rivals = [question for question in QUESTIONS if question[0] == first[0]] + self.questions
        self.ask(*rivals[second % len(rivals)], 5.0)
        self.grant_locks()
        for form, pick in zip(forms, picks, strict=False):
            if self.owed:
                self.device_answers(pick, form, 0)

    def payload(self, asked: Asked, form: str) -> bytes:
        """Return what the device says to a command, in one of the ways that are seen in the field."""
        api = asked.command.api
        body: dict[str, object] = {
            one: asked.command.arguments.get(one, 1) for one in ("number", "recipient", "message") if one in api.echo
        }
        if "recipient" not in body:
            body["value"] = asked.command.arguments["value"] if "value" in api.echo else 1
        if self.with_ids:
            body = {"id": asked.command.id, **body}
        if form == "liberal":
            body = {name: str(value) for name, value in body.items()}
        text = json.dumps(body)
        if form == "broken":
            return b'{"oops'
        if form == "unescaped":
            text = text.replace('\\"', '"')[:127]
        if form == "to its quote" and '\\"' in text:
            text = text[: text.index('\\"') + 1] + '"}'
        return (text[: len(text) // 2] if form == "first half" else text).encode()

    def deliver(self, asked: Asked | None, payload: bytes, api_name: str = "") -> list[Action]:
        api = asked.command.api if asked else self.profile.api(api_name)
        answer = decode_answer(self.profile, api, payload)
        self.origin[id(answer)] = (asked, answer)
        done = self.do(self.lanes.answer(api.name, answer, self.now))
        told = [action for action in done if isinstance(action, Deliver | Late | Unsolicited) and action.answer is answer]
        assert len(told) == 1, "an answer was lost or told twice"
        if asked:
            lane, settled_at = asked.lane(self.profile), self.now + self.profile.settle_s
            self.perhaps_settled_at[lane] = settled_at
            if not isinstance(told[0], Unsolicited):
                self.settled_at[lane] = settled_at
        return done

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def network_repeats_an_answer(self, data: st.DataObject) -> None:
        asked, payload = data.draw(st.sampled_from(self.given))
        waiting = [other for other in self.asked.values() if other.in_flight() or other.haunts(self.now)]
        if any(self.alike(other, asked) for other in waiting) or any(owed is asked for owed in self.owed):
            return  # nobody can tell: the limit that the matcher states
        assert [type(action) for action in self.deliver(asked, payload)].count(Unsolicited) == 1

    @precondition(lambda self: not self.with_ids)
    @rule(pick=st.integers(0, 99))
    def another_process_is_answered(self, pick: int) -> None:
        name, _ = self.questions[pick % len(self.questions)]
        lane = "*" if self.profile.lane == "device" else name
        if self.locks.get(lane) == "held" or lane in self.was_lost:
            return
        assert self.deliver(None, b'{"number": 3, "value": 1}', name)[0].__class__ is Unsolicited

    @precondition(lambda self: self.owed)
    @rule(pick=st.sampled_from([-1, -2, 0]))
    def device_stays_silent(self, pick: int) -> None:
        self.owed.pop(max(pick, -len(self.owed)))  # the matcher cannot know; it goes on waiting

    @rule(pick=st.sampled_from([-1, -2, 0]), sent=st.booleans())
    def caller_leaves(self, pick: int, sent: bool) -> None:
        still = [asked for asked in self.asked.values() if asked.ended_at is None]
        if not still:
            return
        asked = still[max(pick, -len(still))]
        if not sent and asked.sends:  # publishing failed: the device never saw the last one
            if asked not in self.owed:
                return
            self.owed.remove(asked)
            asked.sends.pop()
        asked.cancelled = True
        self.end(asked)
        self.do(self.lanes.cancel(asked.command.id, self.now, sent=sent))

    @rule(seconds=st.sampled_from([0.01, 0.01, 0.15, 0.15, 0.5, 1.0, 2.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.lanes.next_wakeup()) is not None and due <= end:
            assert due > self.now, "it would spin"
            self.now = due
            self.do(self.lanes.tick(self.now))
        self.now = end

    # What must always hold -------------------------------------------------------------------------------------------------

    @invariant()
    def every_command_has_ended_by_its_deadline(self) -> None:
        for asked in self.asked.values():
            assert asked.ended_at is not None or asked.command.deadline > self.now

    @invariant()
    def the_next_in_line_is_not_kept_without_reason(self) -> None:
        for lane in {asked.lane(self.profile) for asked in self.asked.values()}:
            waiting = [asked for asked in self.in_lane(lane) if asked.ended_at is None and not asked.sends]
            if not waiting:
                continue
            assert self.one_at_a_time
            assert lane in self.locks, "nobody asks for the lock"
            ghosts = [asked for asked in self.in_lane(lane) if asked.haunts(self.now)]
            busy = any(asked.in_flight() for asked in self.in_lane(lane)) or self.now < self.perhaps_settled_at.get(lane, 0)
            turn_over = self.sent_since_grant.get(lane, 0) >= MAX_HANDOVER and ghosts
            kept = any(
                (self.profile.lane == "device" and ghost.cancelled) or (not self.with_ids and self.alike(ghost, waiting[0]))
                for ghost in ghosts
            )
            assert busy or turn_over or kept or self.locks[lane] == "wanted", "the lane is wedged"

    def teardown(self) -> None:
        if not hasattr(self, "lanes"):
            return
        for _ in range(40 + 10 * len(self.asked)):
            self.grant_locks()
            due = self.lanes.next_wakeup()
            if due is None:
                break
            assert due > self.now
            self.now = due
            self.do(self.lanes.tick(self.now))
        assert self.lanes.idle, "something is left for ever"
        assert not self.locks
        assert all(asked.ended_at is not None for asked in self.asked.values())


TestWorld = World.TestCase
TestWorld.settings = settings(
    max_examples=400,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
