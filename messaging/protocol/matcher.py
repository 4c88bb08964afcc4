"""Which command may go when, and which answer is whose: the lanes of one device.

A pure state machine. The gateway feeds it what happens (`submit`, `answer`, `cancel`, `lock_granted`, `lock_lost`, and `tick` at
`next_wakeup`) and does what the returned actions say, in their order. Times are seconds of one monotonic clock of the caller's.

**Lanes.** A lane is one api of the device, or the whole device where the profile says so. Without an id to match by, one command
of a lane is under way at a time; the others wait in order, each until its own deadline. A device that repeats the id has no
waiting: every command goes at once and is matched by its id alone.

**Ghosts.** A command that ended without its answer (timed out, its caller gone, or a read asked twice and answered once) leaves a
ghost for `grace_s`. An answer to a ghost is `Late` (or `Unsolicited`, where its command had an answer already) and is never
delivered. While a ghost lives, a command waits if some answer could belong to both (`codec.told_apart`). A device with one lane
may also still be busy with a command whose caller left, and deaf: its lane stays closed for everything until that ghost ends.

**The lock.** Other processes serve the same device, so a lane is also a lock between processes. `WantLock` asks for it; one
`lock_granted` or `lock_lost` answers that; `ReleaseLock` gives it back. It is held over the settle gap, over ghosts, and from one
waiter to the next; after `max_handover` commands in a row it is given back and asked for again, for the other processes' turn.

**What cannot be known without an id.** Answers carry no trace of the question, so two things look right and may be wrong: an
answer that comes later than `grace_s` after its command ended, and a second copy of an answer, while an identical question (same
api, same echoed fields) waits for its own. Both are answers to that very question, only older.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from devices.profiles import Api, Profile
from messaging.protocol.codec import Answer, agreement, told_apart

GRACE_S = 2.0
MAX_HANDOVER = 16


@dataclass(frozen=True, slots=True)
class Command:
    """Something to ask. `arguments` as `codec.prepare_command` returned them; `deadline` on the caller's monotonic clock."""

    id: str
    api: Api
    arguments: Mapping[str, object]
    deadline: float


@dataclass(frozen=True, slots=True)
class Send:
    """Publish this command now. `attempt` is 2 for a read that met silence."""

    command_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """This is the command's answer. It may be malformed or a device's error."""

    command_id: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The deadline passed. `sent` says whether the device may have acted: false for one that never left the queue."""

    command_id: str
    sent: bool


@dataclass(frozen=True, slots=True)
class Late:
    """The answer to a command that has ended, `elapsed` seconds after it was first sent."""

    command_id: str
    answer: Answer
    elapsed: float


@dataclass(frozen=True, slots=True)
class Unsolicited:
    """Nobody here asked: an event, a duplicate, or the answer to another process's command."""

    api: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class WantLock:
    """Ask for the lock between processes; call `lock_granted` once when it is ours."""

    lane: str


@dataclass(frozen=True, slots=True)
class ReleaseLock:
    """Give the lock back."""

    lane: str


Action = Send | Deliver | TimedOut | Late | Unsolicited | WantLock | ReleaseLock


class _Lock(Enum):
    NONE = auto()
    WANTED = auto()
    HELD = auto()


@dataclass(slots=True, eq=False)
class _Flight:
    """A command that was sent; with `until`, a ghost of it."""

    command: Command
    sent_at: float
    retry_at: float | None
    unanswered: int = 1  # how many answers the device still owes: one for each time it was sent
    until: float = 0.0
    answered: bool = False
    abandoned: bool = False


@dataclass(slots=True, eq=False)
class _Lane:
    key: str
    queue: deque[Command] = field(default_factory=deque)
    queue_due: float = math.inf  # no deadline of the queue is earlier; not exact, so that it need not be searched each time
    flights: list[_Flight] = field(default_factory=list)
    ghosts: list[_Flight] = field(default_factory=list)
    settled_at: float | None = None  # the device does not listen before then
    lock: _Lock = _Lock.NONE
    handed_over: int = 0  # commands sent since the lock was granted

    def idle(self) -> bool:
        return not (self.queue or self.flights or self.ghosts or self.settled_at) and self.lock is _Lock.NONE

    def next_time(self) -> float:
        """Return the moment at which something happens by itself; infinity if nothing does."""
        earliest = self.queue_due if self.queue else math.inf
        for ghost in self.ghosts:
            earliest = min(earliest, ghost.until)
        for flight in self.flights:
            due = flight.command.deadline if flight.retry_at is None else min(flight.retry_at, flight.command.deadline)
            earliest = min(earliest, due)
        return earliest if self.settled_at is None else min(earliest, self.settled_at)


class Lanes:
    """The lanes of one device."""

    def __init__(self, profile: Profile, grace_s: float = GRACE_S, max_handover: int = MAX_HANDOVER) -> None:
        self._profile = profile
        self._grace_s = grace_s
        self._max_handover = max_handover
        self._one_lane = profile.lane == "device"
        self._one_at_a_time = self._one_lane or not profile.echo_id
        self._lanes: dict[str, _Lane] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing is asked, awaited or remembered, so that the object may be thrown away."""
        return not self._lanes

    def waiting(self, api_name: str) -> int:
        """Return how many commands wait on an api's lane: for their turn, or for their answer."""
        lane = self._lanes.get(self._key(api_name))
        return 0 if lane is None else len(lane.queue) + len(lane.flights)

    def adopt(self, profile: Profile) -> bool:
        """Go on by another version of the profile; say whether its lanes are the same, so that this is possible."""
        same = (profile.lane, profile.echo_id) == (self._profile.lane, self._profile.echo_id)
        if same:
            self._profile = profile
        return same

    def asked(self, api_name: str) -> Api | None:
        """Return the api as the oldest command of this name was sent by, while its answer may come."""
        lane = self._lanes.get(self._key(api_name))
        flights = (*lane.ghosts, *lane.flights) if lane is not None else ()
        return next((flight.command.api for flight in flights if flight.command.api.name == api_name), None)

    def next_wakeup(self) -> float | None:
        """Return when `tick` must be called, or None while only the outside can change something."""
        earliest = min([lane.next_time() for lane in self._lanes.values()], default=math.inf)
        return None if earliest == math.inf else earliest

    def lock_needed_until(self, lane_key: str) -> float:
        """Return how long a lane can at most need its lock for what is under way: an expiry for it. 0.0 for an idle lane."""
        lane = self._lanes.get(lane_key) or _Lane(lane_key)
        under_way = [flight.command.deadline + self._grace_s + self._profile.settle_s for flight in lane.flights]
        return max([*under_way, *(ghost.until + self._profile.settle_s for ghost in lane.ghosts), lane.settled_at or 0.0])

    # What happens ---------------------------------------------------------------------------------------------------------

    def submit(self, command: Command, now: float, *, locked: bool = False) -> list[Action]:
        """Take a command. It ends by its deadline: exactly one Deliver or TimedOut follows, unless it is cancelled.

        `locked`: the lane's lock is ours, as `lock_granted` would tell.
        """
        key = self._key(command.api.name)
        if command.deadline <= now:
            return [TimedOut(command.id, sent=False), *([ReleaseLock(key)] if locked else [])]
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key)
        actions = self._pass_time(lane, now)
        if locked and self._one_at_a_time:
            lane.lock = _Lock.HELD
        elif locked:  # the profile was another when it was taken; by this one nothing here needs a lock
            actions.append(ReleaseLock(key))
        lane.queue_due = min(lane.queue_due, command.deadline) if lane.queue else command.deadline
        lane.queue.append(command)
        return actions + self._advance(lane, now)

    def answer(self, api_name: str, answer: Answer, now: float) -> list[Action]:
        """Take what the device published on this api."""
        lane = self._lanes.get(self._key(api_name))
        if lane is None:
            return [Unsolicited(api_name, answer)]
        actions = self._pass_time(lane, now)
        flight, sure = self._owner(lane, api_name, answer)
        actions.append(Unsolicited(api_name, answer) if flight is None else self._answered(lane, flight, answer, sure, now))
        return actions + self._advance(lane, now)

    def cancel(self, command_id: str, now: float, *, sent: bool = True) -> list[Action]:
        """Forget a command whose caller went away. `sent=False`: publishing failed, so that no answer can come."""
        for lane in list(self._lanes.values()):
            waiting = next((command for command in lane.queue if command.id == command_id), None)
            flight = next((flight for flight in lane.flights if flight.command.id == command_id), None)
            if waiting is None and flight is None:
                continue
            if waiting is not None:
                lane.queue.remove(waiting)
            if flight is not None:
                lane.flights.remove(flight)
                flight.unanswered -= not sent
                if flight.unanswered:
                    self._haunt(lane, flight, now, abandoned=True)
            return self._pass_time(lane, now) + self._advance(lane, now)
        return []

    def lock_granted(self, lane_key: str, now: float) -> list[Action]:
        """The lock asked for by WantLock is ours."""
        lane = self._lanes.get(lane_key)
        if lane is None or lane.lock is _Lock.NONE:
            return [ReleaseLock(lane_key)]
        lane.lock = _Lock.HELD
        return self._pass_time(lane, now) + self._advance(lane, now)

    def lock_lost(self, lane_key: str, now: float) -> list[Action]:
        """The lock is no longer ours (it expired, its server restarted), or the asking failed: ask again if need be."""
        lane = self._lanes.get(lane_key)
        if lane is None:
            return []
        lane.lock, lane.handed_over = _Lock.NONE, 0
        return self._pass_time(lane, now) + self._advance(lane, now)

    def tick(self, now: float) -> list[Action]:
        """Let time pass in all lanes."""
        return [action for lane in list(self._lanes.values()) for action in self._pass_time(lane, now) + self._advance(lane, now)]

    # What follows ---------------------------------------------------------------------------------------------------------

    def _key(self, api_name: str) -> str:
        return "*" if self._one_lane else api_name

    def _pass_time(self, lane: _Lane, now: float) -> list[Action]:
        """End what is due by `now`, and repeat the reads whose silence lasted."""
        actions: list[Action] = []
        if lane.ghosts:
            lane.ghosts = [ghost for ghost in lane.ghosts if ghost.until > now]
        if lane.settled_at is not None and lane.settled_at <= now:
            lane.settled_at = None
        for flight in lane.flights.copy():
            if flight.command.deadline <= now:
                lane.flights.remove(flight)
                self._haunt(lane, flight, now)
                actions.append(TimedOut(flight.command.id, sent=True))
            elif flight.retry_at is not None and flight.retry_at <= now:
                flight.retry_at = None
                flight.unanswered += 1
                actions.append(Send(flight.command.id, attempt=2))
        if lane.queue and lane.queue_due <= now:
            actions += self._end_overdue(lane, now)
        return actions

    def _end_overdue(self, lane: _Lane, now: float) -> list[Action]:
        """End what has waited in the queue for too long."""
        overdue = [command for command in lane.queue if command.deadline <= now]
        for command in overdue:
            lane.queue.remove(command)
        lane.queue_due = min((command.deadline for command in lane.queue), default=math.inf)
        return [TimedOut(command.id, sent=False) for command in overdue]

    def _advance(self, lane: _Lane, now: float) -> list[Action]:
        """Send what may go, and see to the lock."""
        actions: list[Action] = []
        if self._one_at_a_time:
            actions += self._advance_one(lane, now)
        else:
            while lane.queue:
                actions.append(self._send(lane, now))
        if lane.idle():
            self._lanes.pop(lane.key, None)
        return actions

    def _advance_one(self, lane: _Lane, now: float) -> list[Action]:
        if lane.queue and lane.lock is _Lock.NONE:
            lane.lock = _Lock.WANTED
            return [WantLock(lane.key)]
        if lane.lock is not _Lock.HELD or lane.flights or lane.settled_at is not None:
            return []
        if lane.queue and lane.handed_over < self._max_handover:
            return [] if self._blocked(lane, lane.queue[0]) else [self._send(lane, now)]
        if lane.ghosts:  # another process does not know them: the lock outlives them
            return []
        lane.lock, lane.handed_over = _Lock.NONE, 0
        if not lane.queue:
            return [ReleaseLock(lane.key)]
        lane.lock = _Lock.WANTED
        return [ReleaseLock(lane.key), WantLock(lane.key)]

    def _send(self, lane: _Lane, now: float) -> Send:
        command = lane.queue.popleft()
        retry_at = None
        if self._profile.retry_silent_read and command.api.retry_read and command.api.kind == "get":
            retry_at = now + min(self._profile.retry_after_s, (command.deadline - now) / 2)
        lane.flights.append(_Flight(command, now, retry_at))
        lane.handed_over += 1
        return Send(command.id, attempt=1)

    def _blocked(self, lane: _Lane, command: Command) -> bool:
        """Whether a command must wait for a ghost."""
        return any((self._one_lane and ghost.abandoned) or not self._told_apart(ghost.command, command) for ghost in lane.ghosts)

    def _told_apart(self, one: Command, other: Command) -> bool:
        if self._profile.echo_id or one.api.name != other.api.name:
            return True
        return told_apart(one.api, one.arguments, other.arguments)

    def _owner(self, lane: _Lane, api_name: str, answer: Answer) -> tuple[_Flight | None, bool]:
        """Return whose answer this is (a ghost's, a waiting caller's, nobody's), and whether that is sure."""
        candidates = [flight for flight in (*lane.ghosts, *lane.flights) if flight.command.api.name == api_name]
        if self._profile.echo_id:
            if answer.id is None:  # broken beyond its id: whose it is can only be told where there is but one
                return (candidates[0] if answer.malformed and len(candidates) == 1 else None), False
            return next((flight for flight in candidates if flight.command.id == answer.id), None), True
        verdicts = [(agreement(flight.command.api, flight.command.arguments, answer), flight) for flight in candidates]
        if certain := next((flight for verdict, flight in verdicts if verdict == "yes"), None):
            return certain, True
        # A device answers in the order it was asked, so what can be told no better belongs to the oldest.
        possible = [flight for verdict, flight in verdicts if verdict == "perhaps"]
        return (possible[0] if possible else None), len(possible) == 1 and answer.text is not None

    def _answered(self, lane: _Lane, flight: _Flight, answer: Answer, sure: bool, now: float) -> Action:
        """Book an answer on its command: deliver it, or say what else it is."""
        if self._profile.settle_s:
            lane.settled_at = now + self._profile.settle_s
        first = not flight.answered
        if sure:  # else the answer that the device owes may still be another one
            flight.unanswered -= 1
            flight.answered = True
        if flight in lane.ghosts:
            if not flight.unanswered:
                lane.ghosts.remove(flight)
            late = Late(flight.command.id, answer, now - flight.sent_at)
            return late if first else Unsolicited(flight.command.api.name, answer)
        lane.flights.remove(flight)
        if flight.unanswered:
            flight.answered = True
            self._haunt(lane, flight, now)
        return Deliver(flight.command.id, answer)

    def _haunt(self, lane: _Lane, flight: _Flight, now: float, *, abandoned: bool = False) -> None:
        flight.until, flight.abandoned, flight.retry_at = now + self._grace_s, abandoned, None
        lane.ghosts.append(flight)
