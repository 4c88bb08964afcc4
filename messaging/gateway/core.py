"""The gateway: one per web process, it takes a command to the device and brings the answer back.

Which command may go when and which answer is whose is decided by `messaging.protocol.matcher`, which does no I/O; this module
carries its decisions out: broker, lane locks in Valkey, timers, callers, and the record of each command for the history.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import random
import secrets
from collections import OrderedDict, deque
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import monotonic  # not loop.time(): uvloop counts whole milliseconds
from typing import Any
from uuid import UUID

from django.conf import settings

from devices import profile_store
from devices.access import parse_device_id
from devices.profiles import API_NAME, Api, Kind, Profile
from iotportal import logs
from iotportal.fast_json import encode
from iotportal.problems import Problem
from iotportal.uuid7 import seconds_of, uuid7
from iotportal.valkey import LONGEST_WAIT_S, Valkey, ValkeyUnavailable
from messaging import cache
from messaging.gateway.admission import (
    HOLD,
    RELEASE,
    Admission,
    Caller,
    admit,
    cannot_check,
    known_profile,
    not_found,
    refund,
)
from messaging.gateway.standing import Standings
from messaging.gateway.transport import BrokerUnavailable, Transport
from messaging.models import Outcome
from messaging.protocol import codec, matcher, topics

logger = logging.getLogger(__name__)

MIN_TIMEOUT_S, MAX_TIMEOUT_S = 1.0, 30.0
_LEASE_MS = 8_000  # a lane whose process died is free again after this; longer than the default timeout and its grace
RENEW_S = 1.0
LEASE_S = 5.0  # a lease that was not renewed for so long may be over: the last answer can have been under way for the rest of it
KEPT_S = 0.05  # a lane on which commands follow each other so soon waits as long for the next, unless somebody else wants it
SHARED_S = 5.0  # a lane that another process has wanted is not kept for so long
_TURN_MS = 300  # longer than several askings of a process that waits, also of a busy one
LANE_POLL_S = (0.003, 0.006, 0.01)  # while another process has the lane; shorter than a turn of it, so that ours comes next
BROKER_WAIT_S = 3.0
MAX_DEVICES = 10_000
MAX_WAITING = 500  # on one lane in one process; behind more than that nobody's turn comes in time
LANE_FULL_RETRY_S = 1
STREAM_LENGTH = 100_000


@dataclass(frozen=True, slots=True)
class CommandResult:
    """An answered command. `timeline`: milliseconds after it was accepted."""

    id: UUID
    device: str
    api: str
    payload: str
    answer: Mapping[str, object]
    text: str | None  # the answer as it came, where it was not proper JSON and its text was recovered
    timeline: Mapping[str, float | None]
    attempts: int

    def as_json(self) -> dict[str, object]:
        """Return what the API and the WebSocket say of it."""
        return {
            "id": self.id.hex,
            "device": self.device,
            "api": self.api,
            "payload": self.payload,
            "answer": dict(self.answer),
            "text": self.text,
            "timeline": dict(self.timeline),
            "attempts": self.attempts,
        }


@dataclass(slots=True)
class _Pending:
    """A command on its way."""

    id: UUID
    key: str  # the id's 32 hex digits
    caller: Caller
    admission: Admission
    device: str
    api: Api
    prepared: codec.Prepared
    timeout_s: float
    accepted: float  # monotonic clock
    done: asyncio.Future[codec.Answer]
    sent_ms: float | None = None
    broker_ms: float | None = None
    answered_ms: float | None = None
    attempts: int = 0
    raw: bytes | None = None


def about_record(words: tuple[Any, ...]) -> dict[str, str]:
    """Return the fields of a log line about a record that did not get into the stream; its command has none other then."""
    if words[0] != "XADD":
        return {}
    record = json.loads(words[-1])
    return {"command": record.get("id") or record["late"], "device": record["device"]}


def lock_of(device_id: str, lane: str) -> str:
    """Return the key of a lane's lock, as the admission script names it."""
    return f"lane:{device_id}" if lane == "*" else f"lane:{device_id}:{lane}"


@dataclass(slots=True)
class _Device:
    """What this process has going on with one device.

    `key`: of its profile, in `devices.profile_store`. `granted`: the lanes whose lock the matcher was given.
    """

    id: str
    key: str
    profile: Profile
    lanes: matcher.Lanes
    timer: asyncio.TimerHandle | None = None
    timer_at: float = math.inf
    locking: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    granted: set[str] = field(default_factory=set)
    opened: dict[str, float] = field(default_factory=dict)  # lane -> when it was last done with

    def lane(self, api_name: str) -> str:
        """Return the key of the lane that an api runs on, as the matcher names it."""
        return "*" if self.profile.lane == "device" else api_name

    def lock(self, lane: str) -> str:
        """Return the key of a lane's lock."""
        return lock_of(self.id, lane)


class Gateway:
    """Sends commands for callers of this process; all methods run on the event loop that started it."""

    def __init__(self, transport: Transport, valkey: Valkey) -> None:
        self._transport = transport
        self._valkey = valkey
        self._owner = secrets.token_hex(8)  # this process, in lane locks
        self._devices: OrderedDict[str, _Device] = OrderedDict()
        self._pending: dict[str, _Pending] = {}
        self._held: dict[str, float] = {}  # lane lock -> when it was last renewed
        self._kept: dict[str, float] = {}  # of those the ones that no command uses -> since when
        self._opening = False  # those that are kept are looked through soon
        self._wanted: OrderedDict[str, float] = OrderedDict()  # by another process -> until when they are not to be kept
        self._standings = Standings()
        self._sent: OrderedDict[str, _Pending] = OrderedDict()  # ghosts: so that a late answer finds its command
        self._renewing: asyncio.Task[None] | None = None
        transport.on_answer = self._on_answer
        transport.on_lost = self._on_lost
        valkey.on_changed = self._on_changed

    async def start(self) -> None:
        """Connect to broker and Valkey, in the background where they are away."""
        self.loop = asyncio.get_running_loop()
        await self._valkey.start()
        await self._transport.start()
        self._renewing = self.loop.create_task(self._renew_leases())

    async def stop(self) -> None:
        """Tell every waiting caller, open our lanes, disconnect."""
        self._fail_all(Problem(503, "unavailable", "The portal is restarting. The device may or may not have got the command."))
        if self._renewing is not None:
            self._renewing.cancel()
        for lock in tuple(self._held):
            self._release(lock)
        await self._transport.stop()
        await self._valkey.stop()

    async def tell(self, device_id: str, api_name: str, payload: bytes) -> None:
        """Publish what a device does not answer, and wait until the broker has taken it.

        Raises:
            Problem: 503, the broker cannot be reached, or did not say that it took it.
        """
        taken = asyncio.Event()
        try:
            async with asyncio.timeout(settings.COMMAND_TIMEOUT_S):
                while True:
                    try:
                        self._transport.publish(f"{device_id}/{api_name}", payload, taken.set)
                        break
                    except BrokerUnavailable:  # perhaps it is only just connecting
                        await asyncio.sleep(0.05)
                await taken.wait()
        except TimeoutError as error:
            raise _broker_lost(sent=False) from error

    async def send(
        self,
        caller: Caller,
        device_id: str,
        api_name: str,
        arguments: Mapping[str, object],
        timeout_s: object = None,
        *,
        kind: Kind | None = None,
    ) -> CommandResult:
        """Send one command and return the device's answer.

        Args:
            caller: who asks.
            device_id: 32 hex digits.
            api_name: one the device's profile has, or any where the profile is open.
            arguments: the command's fields.
            timeout_s: 1–30 s; if None the api's, or else the setting's. It covers everything: waiting for the lane, sending,
                the answer.
            kind: what the api has to be. The arguments of a get are then texts, as they stand in an address.

        Raises:
            Problem: as `docs/api.md` lists them; the command was not sent unless the problem says that it may have been.
        """
        accepted = monotonic()
        given, timeout_s = timeout_s, check_timeout(timeout_s)
        if not topics.DEVICE_ID.fullmatch(device_id):
            key = parse_device_id(device_id)
            if key is None:
                raise not_found()
            device_id = key.hex
        if not API_NAME.fullmatch(api_name):
            raise Problem(
                400, "invalid", "Some fields are not right.", errors={"api": ["Lower-case letters, digits and _, at most 64."]}
            )
        deadline = accepted + timeout_s
        admission = self._stands(caller, device_id, api_name)
        if admission is None:
            changes = self._standings.changes
            admission = await self._admit(caller, device_id, api_name, deadline)
            if changes == self._standings.changes:
                self._standings.keep(caller, device_id, admission)
        profile = profile_store.known(admission.profile) or await self._learn(device_id, api_name, admission, deadline)
        device = self._admitted(device_id, api_name, admission, profile)
        try:
            pending = self._prepare(caller, admission, device, api_name, arguments, timeout_s, accepted, kind)
            if given is None and pending.api.timeout_s is not None:
                pending.timeout_s = pending.api.timeout_s
            return await self._run(device, pending)
        finally:
            self._release_unused(device, device.lane(api_name))

    # --- one command ------------------------------------------------------------------------------------------------------

    def _stands(self, caller: Caller, device_id: str, api_name: str) -> Admission | None:
        """Admit by what was granted a moment ago, if it stands and the lane is ours; the command is counted by and by."""
        standing = self._standings.find(caller, device_id)
        if standing is None or profile_store.known(standing.admission.profile) is None:
            return None
        admission = standing.admission
        lock = "" if admission.lane_kind == "none" else lock_of(device_id, admission.lane(api_name))
        if lock and not self._has(lock):
            return None
        try:
            standing.charge(self._valkey)
        except ValkeyUnavailable:
            return None
        if lock in self._kept and self._take(lock):
            return standing.taking
        return admission

    def _admit(self, caller: Caller, device_id: str, api_name: str, deadline: float) -> Awaitable[Admission]:
        """Ask whether the caller may send. Raises Problem as `admit` does, and 503 when that is not known in time."""
        asking = admit(
            self._valkey,
            caller,
            device_id,
            api_name,
            take_lane=not self._holds_lane(device_id, api_name),
            owner=self._owner,
            lease_ms=_LEASE_MS,
            deadline=deadline,
            give_back=partial(self._give_back, device_id, api_name),
        )
        # Valkey answers or is given up before a longer timeout is over: that saves a timer for every command.
        left = deadline - monotonic()
        return asking if left > LONGEST_WAIT_S else _in_time(asking, left)

    async def _learn(self, device_id: str, api_name: str, admission: Admission, deadline: float) -> Profile:
        """Return the profile of an admission in a version that is new to this process.

        Raises:
            Problem: 503, it cannot be had.
        """
        try:
            async with asyncio.timeout(max(0.0, deadline - monotonic())):
                return await known_profile(admission.profile)
        except BaseException as error:
            self._give_back(device_id, api_name, admission)
            if isinstance(error, TimeoutError):
                raise cannot_check() from error
            raise

    def _admitted(self, device_id: str, api_name: str, admission: Admission, profile: Profile) -> _Device:
        """Return the device of an admission, noting the lane that came with it.

        Raises:
            Problem: 503, commands by another profile are under way: their lanes differ.
        """
        device = self._device(device_id, admission.profile, profile)
        if device.key != admission.profile:
            self._give_back(device_id, api_name, admission)
            detail = "The device's profile is changing. Nothing was sent; try again when its commands have ended."
            raise Problem(503, "unavailable", detail, retry_after_s=2)
        if admission.lane_taken:
            self._hold_now(device.lock(device.lane(api_name)))
        return device

    def _give_back(self, device_id: str, api_name: str, admission: Admission) -> None:
        """Undo an admission of which nothing was made: its caller left, or its profile was not to be had."""
        refund(self._valkey, admission)
        if not admission.lane_taken:
            return
        device, lane = self._devices.get(device_id), admission.lane(api_name)
        lock = lock_of(device_id, lane)
        self._hold_now(lock)
        # Another command of this process may use the lane by now, or wait for it: then it is that one's.
        if device is None or (lane not in device.granted and lane not in device.locking):
            self._release(lock)

    def _prepare(
        self,
        caller: Caller,
        admission: Admission,
        device: _Device,
        api_name: str,
        arguments: Mapping[str, object],
        timeout_s: float,
        accepted: float,
        kind: Kind | None,
    ) -> _Pending:
        """Check and encode; what cannot be sent costs nothing."""
        command_id = uuid7()
        key = command_id.hex
        logs.command.set(key)
        try:
            api = device.profile.api(api_name)
            if kind is not None:
                _refuse_other_kind(api, kind)
                arguments = codec.from_texts(api, arguments) if kind == "get" else arguments
            prepared = codec.prepare_command(device.profile, api, arguments, key)
            _refuse_own_notification(device.id, api, prepared)
        except Problem:
            refund(self._valkey, admission)
            raise
        except (codec.InvalidArguments, KeyError) as error:
            refund(self._valkey, admission)
            errors = (
                error.errors
                if isinstance(error, codec.InvalidArguments)
                else {"api": [f"{device.profile.name} has no {api_name}."]}
            )
            raise Problem(400, "invalid", "Some fields are not right.", errors=errors) from error
        done: asyncio.Future[codec.Answer] = self.loop.create_future()
        return _Pending(command_id, key, caller, admission, device.id, api, prepared, timeout_s, accepted, done)

    async def _run(self, device: _Device, pending: _Pending) -> CommandResult:
        deadline, key = pending.accepted + pending.timeout_s, pending.key
        if deadline <= monotonic():  # asking who may send took all of it
            refund(self._valkey, pending.admission)
            raise cannot_check()
        if not self._transport.is_bound(device.id):
            await self._bind(pending, deadline)
        self._refuse_full_lane(device, pending)
        self._pending[key] = pending
        try:
            self._submit(device, matcher.Command(key, pending.api, pending.prepared.arguments, deadline))
            answer = await pending.done
        except Problem as problem:
            self._record(pending, _OUTCOMES.get(problem.code, Outcome.TIMEOUT))
            raise
        except asyncio.CancelledError:
            self._remember(pending)
            self._carry_out(device, device.lanes.cancel(key, monotonic()))
            self._record(pending, Outcome.ABANDONED)
            raise
        finally:
            self._pending.pop(key, None)
        return self._finish(pending, answer)

    async def _bind(self, pending: _Pending, deadline: float) -> None:
        """Wait for the connection to the broker and for the device's answers to come in.

        Raises:
            Problem: 503, not in time.
        """
        try:
            async with asyncio.timeout(max(0.0, deadline - monotonic())):
                await self._transport.wait_connected(BROKER_WAIT_S)
                await self._transport.bind(pending.device)
        except (BrokerUnavailable, TimeoutError) as error:
            refund(self._valkey, pending.admission)
            raise _broker_lost(sent=False) from error
        except BaseException:  # the caller went away: nothing was sent
            refund(self._valkey, pending.admission)
            raise

    def _refuse_full_lane(self, device: _Device, pending: _Pending) -> None:
        """Refuse a command that would wait behind too many.

        Raises:
            Problem: 429, nothing was sent.
        """
        if device.lanes.waiting(pending.api.name) < MAX_WAITING:
            return
        refund(self._valkey, pending.admission)
        detail = f"{MAX_WAITING} commands wait for this device already. Nothing was sent."
        raise Problem(429, "lane_full", detail, retry_after_s=LANE_FULL_RETRY_S)

    def _submit(self, device: _Device, command: matcher.Command) -> None:
        """Give a command to the matcher, and the lane's lock with it where we have it already."""
        lane = device.lane(command.api.name)
        locked = lane not in device.granted and self._take(device.lock(lane))
        if locked:
            device.granted.add(lane)
        self._carry_out(device, device.lanes.submit(command, monotonic(), locked=locked))

    def _finish(self, pending: _Pending, answer: codec.Answer) -> CommandResult:
        """Judge the answer that is ours.

        Raises:
            Problem: 502, the device reported an error or said something that cannot be read.
        """
        if answer.error is not None:
            self._record(pending, Outcome.DEVICE_ERROR)
            raise Problem(502, "device_error", f"The device reports: {answer.error.message or answer.error.code}")
        if answer.failed:
            self._record(pending, Outcome.MALFORMED)
            raise Problem(502, "malformed_answer", f"The answer was not valid: {answer.reason}. It is kept in the history.")
        delivered = self._record(pending, Outcome.ANSWERED)
        timeline = {
            "accepted": 0.0,
            "sent": pending.sent_ms,
            "broker": pending.broker_ms,
            "answered": pending.answered_ms,
            "delivered": delivered,
        }
        return CommandResult(
            pending.id,
            pending.device,
            pending.api.name,
            pending.prepared.payload.decode(),
            answer.fields,
            answer.text,
            timeline,
            pending.attempts,
        )

    def _record(self, pending: _Pending, outcome: Outcome) -> float:
        """Leave the command for the bridge to write; return the milliseconds it took."""
        delivered = self._ms(pending)
        if pending.sent_ms is None:
            refund(self._valkey, pending.admission)
        else:
            self.loop.call_soon(self._stream_command, pending, outcome, delivered)  # after the answer has left
        return delivered

    def _stream_command(self, pending: _Pending, outcome: Outcome, delivered: float) -> None:
        record = {
            "v": 1,
            "id": pending.key,
            "time": seconds_of(pending.id),
            "account": pending.admission.account,
            "device": pending.device,
            "user": pending.admission.user_id,
            "source": pending.caller.source,
            "api": pending.api.name,
            "payload": pending.prepared.payload.decode(),
            "outcome": outcome,
            "answer": _text(pending.raw),
            "attempts": pending.attempts,
            "timeout_s": pending.timeout_s,
            "sent_ms": pending.sent_ms,
            "broker_ms": pending.broker_ms,
            "answered_ms": pending.answered_ms,
            "delivered_ms": delivered,
        }
        self._stream(record)

    def _stream(self, record: dict[str, object]) -> None:
        # A record that comes twice is the same row.
        words = ("XADD", cache.COMMAND_STREAM, "MAXLEN", "~", str(STREAM_LENGTH), "*", "r", encode(record))
        self._valkey.keep(*words)

    def _ms(self, pending: _Pending) -> float:
        return round((monotonic() - pending.accepted) * 1000, 2)

    # --- what the matcher decides ---------------------------------------------------------------------------------------------

    def _carry_out(self, device: _Device, actions: Iterable[matcher.Action], payload: bytes = b"") -> None:
        """Do what the matcher says, including what follows from doing it, then set the next timer.

        `payload`: the message that the actions follow from, as it came.
        """
        queue = deque(actions)
        while queue:
            action = queue.popleft()
            match action:
                case matcher.Send():
                    queue.extend(self._transmit(device, action.command_id))
                case matcher.Deliver():
                    pending = self._pending.get(action.command_id)
                    if pending is not None and not pending.done.done():
                        pending.answered_ms, pending.raw = self._ms(pending), payload
                        pending.done.set_result(action.answer)
                case matcher.ReleaseLock():
                    device.granted.discard(action.lane)
                    self._keep(device, action.lane)
                case matcher.WantLock():
                    queue.extend(self._want_lock(device, action.lane))
                case matcher.TimedOut():
                    self._time_out(action.command_id, sent=action.sent)
                case matcher.Late():
                    self._record_late(action, payload)
                case matcher.Unsolicited():
                    pass  # every web process bound to the device sees every answer; most are another's
        self._set_timer(device)

    def _transmit(self, device: _Device, command_id: str) -> list[matcher.Action]:
        pending = self._pending.get(command_id)
        if pending is None:
            return device.lanes.cancel(command_id, monotonic(), sent=False)
        topic = topics.command_topic(device.id, pending.api.name)
        try:
            self._transport.publish(topic, pending.prepared.payload, lambda: self._on_taken(pending))
        except BrokerUnavailable:
            if not pending.done.done():
                pending.done.set_exception(_broker_lost(sent=pending.sent_ms is not None))
            return device.lanes.cancel(command_id, monotonic(), sent=False)
        pending.attempts += 1
        if pending.sent_ms is None:
            pending.sent_ms = self._ms(pending)
        return []

    def _on_taken(self, pending: _Pending) -> None:
        if pending.broker_ms is None:
            pending.broker_ms = self._ms(pending)

    def _remember(self, pending: _Pending) -> None:
        """Keep a command that ended without its answer, so that a late one finds it."""
        self._sent[pending.key] = pending
        while len(self._sent) > MAX_DEVICES:
            self._sent.popitem(last=False)

    def _time_out(self, command_id: str, *, sent: bool) -> None:
        pending = self._pending.get(command_id)
        if pending is None or pending.done.done():
            return
        if not sent:
            detail = f"Other commands kept this device busy for {pending.timeout_s:g} s. Nothing was sent."
            pending.done.set_exception(Problem(504, "device_busy", detail))
            return
        self._remember(pending)
        detail = f"No answer in {pending.timeout_s:g} s."
        if pending.api.kind != "get":
            detail += " The device may still have done it."
        pending.done.set_exception(Problem(504, "device_timeout", detail))

    def _record_late(self, late: matcher.Late, payload: bytes) -> None:
        """Leave word of an answer that came when nobody waited for it any more."""
        pending = self._sent.pop(late.command_id, None)
        if pending is None:
            return
        self._stream(
            {
                "v": 1,
                "late": late.command_id,
                "time": seconds_of(pending.id),
                "device": pending.device,
                "account": pending.admission.account,
                "api": pending.api.name,
                "answer": _text(payload),
                "late_ms": self._ms(pending),
            }
        )

    def _on_answer(self, topic: str, payload: bytes) -> None:
        """Take a message of a bound device to the commands that wait for it."""
        parsed = topics.parse(topic)
        device = self._devices.get(parsed.device_id) if parsed is not None else None
        if parsed is None or device is None or device.lanes.idle:
            return
        try:
            # As it was asked: the profile may have been saved anew while the answer was on its way.
            api = device.lanes.asked(parsed.api) or device.profile.api(parsed.api)
        except KeyError:  # the device says something its profile does not have; nobody here can have asked for it
            return
        answer = codec.decode_answer(device.profile, api, payload)
        self._carry_out(device, device.lanes.answer(parsed.api, answer, monotonic()), payload)

    def _on_lost(self) -> None:
        """The broker is gone, and with it what was subscribed: everyone learns whether the command may have run."""
        waiting = [pending for pending in self._pending.values() if not pending.done.done()]
        for pending in waiting:
            pending.done.set_exception(_broker_lost(sent=pending.sent_ms is not None))
        for pending in waiting:
            device = self._devices.get(pending.device)
            if device is not None:
                self._carry_out(device, device.lanes.cancel(pending.key, monotonic()))

    def _fail_all(self, problem: Problem) -> None:
        for pending in list(self._pending.values()):
            if not pending.done.done():
                pending.done.set_exception(problem)

    # --- devices and timers -----------------------------------------------------------------------------------------------------

    def _device(self, device_id: str, key: str, profile: Profile) -> _Device:
        """Return the state of a device, by this profile as soon as what is going on allows it."""
        device = self._devices.get(device_id)
        if device is not None and device.key != key and device.lanes.adopt(profile):
            device.key, device.profile = key, profile
        if device is not None and (device.key == key or not device.lanes.idle):
            self._devices.move_to_end(device_id)
            return device
        lanes = matcher.Lanes(profile, grace_s=settings.COMMAND_GRACE_S)
        device = self._devices[device_id] = _Device(device_id, key, profile, lanes)
        if len(self._devices) > MAX_DEVICES:
            idle = next((key for key, other in self._devices.items() if other is not device and other.lanes.idle), None)
            if idle is not None:
                del self._devices[idle]
        return device

    def _set_timer(self, device: _Device) -> None:
        """Be woken when something is due; a timer that rings too early is left, for most deadlines are never reached."""
        at = device.lanes.next_wakeup()
        if at is None or at >= device.timer_at:
            return
        if device.timer is not None:
            device.timer.cancel()
        device.timer_at = at
        device.timer = self.loop.call_later(max(0.0, at - monotonic()), self._wake, device)

    def _wake(self, device: _Device) -> None:
        device.timer, device.timer_at = None, math.inf
        self._carry_out(device, device.lanes.tick(monotonic()))

    # --- lane locks across processes ---------------------------------------------------------------------------------------

    def _holds_lane(self, device_id: str, api_name: str) -> bool:
        """Whether a lane is in use here already. One that is only kept is given back: it is taken anew with the admission."""
        device = self._devices.get(device_id)
        if device is None:
            return False
        lock = device.lock(device.lane(api_name))
        if lock in self._kept:
            self._release(lock)
        return lock in self._held

    def _grant(self, device: _Device, lane: str) -> list[matcher.Action]:
        """Give the matcher a lock that is ours; it may give it back at once."""
        device.granted.add(lane)
        return device.lanes.lock_granted(lane, monotonic())

    def _want_lock(self, device: _Device, lane: str) -> list[matcher.Action]:
        """Grant a lane that the admission took already; otherwise go and get it."""
        if lane not in device.granted and self._take(device.lock(lane)):
            return self._grant(device, lane)
        if lane not in device.locking:
            device.locking[lane] = self.loop.create_task(self._get_lock(device, lane))
        return []

    async def _get_lock(self, device: _Device, lane: str) -> None:
        """Ask for a lane that another process has until it is ours."""
        lock = device.lock(lane)
        attempt = 0
        try:
            while not self._take(lock):
                with contextlib.suppress(ValkeyUnavailable):
                    if await self._hold(lock):
                        self._hold_now(lock)
                        break
                pause = LANE_POLL_S[min(attempt, len(LANE_POLL_S) - 1)]
                attempt += 1
                await asyncio.sleep(pause * random.uniform(0.6, 1.4))  # noqa: S311
        finally:
            device.locking.pop(lane, None)
        if lane not in device.granted:
            self._carry_out(device, self._grant(device, lane))

    def _hold(self, lock: str) -> asyncio.Future[int]:
        return self._valkey.run(HOLD, (lock, f"{lock}:next"), (self._owner, _LEASE_MS, _TURN_MS))

    def _hold_now(self, lock: str) -> None:
        """Note that a lane is ours, for a command; one that was kept is on the lease that it had."""
        self._held.setdefault(lock, monotonic())
        self._kept.pop(lock, None)

    def _has(self, lock: str) -> bool:
        """Whether a lane is ours: in use, or kept on a lease that is sure."""
        if lock in self._kept and monotonic() - self._held[lock] >= LEASE_S:
            self._release(lock)
        return lock in self._held

    def _take(self, lock: str) -> bool:
        """Return whether a lane is ours; one that was kept is from here on in use."""
        if not self._has(lock):
            return False
        self._kept.pop(lock, None)
        return True

    def _keep(self, device: _Device, lane: str) -> None:
        """Keep a lane for the next command, or open it where other processes use it too, or nobody has for a while."""
        lock, now = device.lock(lane), monotonic()
        before, device.opened[lane] = device.opened.get(lane, -math.inf), now
        if lock not in self._held:
            return
        if now < self._wanted.get(lock, 0.0):
            self._want(lock, now + SHARED_S)
            self._release(lock)
        elif now - before > KEPT_S:
            self._release(lock)
        else:
            self._kept[lock] = now
            if not self._opening:
                self._opening = True
                self.loop.call_later(KEPT_S, self._open_kept)

    def _open_kept(self) -> None:
        """Open the lanes that were kept for long enough, until none is."""
        until = monotonic() - KEPT_S
        for lock in [lock for lock, since in self._kept.items() if since <= until]:
            self._release(lock)
        self._opening = bool(self._kept)
        if self._opening:
            self.loop.call_later(KEPT_S, self._open_kept)

    def _want(self, lock: str, until: float) -> None:
        self._wanted[lock] = until
        self._wanted.move_to_end(lock)
        while len(self._wanted) > MAX_DEVICES:
            self._wanted.popitem(last=False)

    def _on_changed(self, key: str | None) -> None:
        """Another has changed what we read in Valkey: who may send, or who is next on a lane."""
        self._standings.changed(key)
        if key is None:
            for lock in tuple(self._kept):
                self._release(lock)
        elif key.startswith("lane:"):
            lock = key.removesuffix(":next")
            if lock != key and lock in self._held:
                self._want(lock, math.inf if lock not in self._kept else monotonic() + SHARED_S)
            if lock in self._kept:
                self._release(lock)

    def _release(self, lock: str) -> None:
        """Open a lane if it is still ours; without a connection it is the first thing that the next one hears."""
        self._kept.pop(lock, None)
        if self._held.pop(lock, None) is not None:
            self._valkey.keep_run(RELEASE, (lock,), (self._owner,))

    def _release_unused(self, device: _Device, lane: str) -> None:
        """Open a lane that was taken with the admission and that the matcher was never given, nor waits for."""
        lock = device.lock(lane)
        if lock in self._held and lock not in self._kept and lane not in device.granted and lane not in device.locking:
            self._release(lock)

    async def _renew_leases(self) -> None:
        """Keep the locks of long commands, and notice those that were lost."""
        while True:
            await asyncio.sleep(RENEW_S)
            now = monotonic()
            for lock in [lock for lock, since in self._held.items() if now - since >= RENEW_S]:
                if lock not in self._held:  # released while another was asked for
                    continue
                try:
                    ours = await self._hold(lock)
                except ValkeyUnavailable:
                    break
                if lock not in self._held:
                    self._valkey.keep_run(RELEASE, (lock,), (self._owner,))
                elif ours:
                    self._held[lock] = now
                else:
                    self._lose(lock)

    def _lose(self, lock: str) -> None:
        """Another process has a lane that we thought ours: Valkey lost it, or we were too slow."""
        _, device_id, *api = lock.split(":")
        waiting = [one.key for one in self._pending.values() if one.device == device_id and api in ([], [one.api.name])]
        logger.warning("lost the lock %s", lock, extra={"device": device_id, "commands": waiting})
        self._held.pop(lock, None)
        self._kept.pop(lock, None)
        device, lane = self._devices.get(device_id), api[0] if api else "*"
        if device is not None:
            device.granted.discard(lane)
            self._carry_out(device, device.lanes.lock_lost(lane, monotonic()))


async def _in_time(asking: Awaitable[Admission], timeout_s: float) -> Admission:
    try:
        async with asyncio.timeout(timeout_s):
            return await asking
    except TimeoutError as error:
        raise cannot_check() from error


_OUTCOMES = {"device_timeout": Outcome.TIMEOUT, "broker_lost": Outcome.DISCONNECTED, "unavailable": Outcome.DISCONNECTED}


def _refuse_own_notification(device_id: str, api: Api, prepared: codec.Prepared) -> None:
    """Refuse what a device by the protocol shows and does not answer. Raises InvalidArguments."""
    if api.name == "trigger_notification" and prepared.arguments.get("recipient") == device_id:
        raise codec.InvalidArguments({"recipient": ["This is the device itself. Choose whom it should notify."]})


def _refuse_other_kind(api: Api, kind: Kind) -> None:
    """Refuse to read by a set, or to set by a get. Raises Problem: 405."""
    if api.kind == kind:
        return
    told = {"get": "only reads: ask for it with GET", "set": "acts: use PUT", "event": "is said by the device itself"}
    raise Problem(405, "method_not_allowed", f"{api.name} {told[api.kind]}.")


def _broker_lost(*, sent: bool) -> Problem:
    if sent:
        detail = "The portal lost its connection to the broker. The device may or may not have got the command."
        return Problem(503, "broker_lost", detail, retry_after_s=2)
    return Problem(
        503, "broker_unavailable", "The portal has no connection to the devices right now. Nothing was sent.", retry_after_s=2
    )


def _text(payload: bytes | None) -> str | None:
    """Return the bounded text of a payload, as the history keeps it."""
    if payload is None:
        return None
    return payload[: settings.MAX_PAYLOAD_BYTES].decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def check_timeout(timeout_s: object) -> float:
    """Return the timeout to use, in seconds.

    Raises:
        Problem: 400, it is not a number between 1 and 30.
    """
    if timeout_s is None:
        return float(settings.COMMAND_TIMEOUT_S)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not MIN_TIMEOUT_S <= timeout_s <= MAX_TIMEOUT_S:
        raise Problem(400, "invalid", "Some fields are not right.", errors={"timeout": ["A number of seconds, 1 to 30."]})
    return float(timeout_s)
