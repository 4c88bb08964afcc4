"""May this caller send, is there quota, is the lane free? One trip to Valkey answers all three.

The script reads what `messaging.cache` describes. What it does not find (or finds buried) the caller looks up in the database,
fills in, and asks again; so a change bites at once and the database is asked about once a minute per caller and device.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.urls import reverse

from accounts.access import Action, token_may
from accounts.models import ApiToken
from billing.services import allowances_of
from devices import profile_store
from devices.models import OwnProfile
from devices.profiles import Profile, UnknownProfile, get_profile
from iotportal.problems import Problem
from iotportal.throttle import Window, failures
from iotportal.valkey import Script, Valkey, ValkeyUnavailable
from messaging import cache

logger = logging.getLogger(__name__)

# KEYS: none are known before the token is read, so they are made here; a Valkey cluster needs hash tags first (docs/scaling.md).
# ARGV: 1 token hash or "" | 2 user id or "" | 3 device | 4 api | 5 minute | 6 commands a minute | 7 "1" to take the lane
#       8 lane owner | 9 lease ms | 10 now (Unix seconds) | 11 look-ups a minute
#       12 ms: an access entry that ends sooner is in the reply, to be renewed
# An account's month is in its access entry, with the moment at which it ends: from then on the entry is none.
# What is only read here is told of when it changes (messaging.gateway.standing); the counters, which always do, are never read.
ADMIT = Script("""
local user, scope = ARGV[2], 'control'
local ends
if ARGV[1] ~= '' then
  local token = redis.call('GET', 'token:' .. ARGV[1])
  if not token or token == '-' then return {'need_token', token or ''} end
  if token == '!' then return {'no_token'} end
  local expiry
  user, scope, expiry = string.match(token, '^(%d+) (%a+) (%d+)$')
  if expiry ~= '0' and tonumber(expiry) <= tonumber(ARGV[10]) then return {'unknown_token'} end
  if expiry ~= '0' then ends = tonumber(expiry) end
end
local access_key = 'access:' .. user .. ':' .. ARGV[3]
local access = redis.call('GET', access_key)
if access == '!' then return {'no_access'} end
if access and access ~= '-' then
  local ends = string.match(access, ' %d+ %d+ (%d+)$')
  if not ends or tonumber(ends) <= tonumber(ARGV[10]) then
    redis.call('DEL', access_key)
    access = false
  end
end
if not access or access == '-' then
  local looks_key = 'looks:' .. user .. ':' .. ARGV[5]
  local looks = redis.call('INCR', looks_key)
  if looks == 1 then redis.call('EXPIRE', looks_key, 120) end
  if looks > tonumber(ARGV[11]) then return {'looks'} end
  return {'need_access', access or '', user, looks_key}
end
local role, profile, lane_kind, account, limit, month, month_ends =
  string.match(access, '^(%a+) (%S+) (%a+) (%x+) (%d+) (%d+) (%d+)$')
ends = math.min(ends or math.huge, tonumber(month_ends))
if lane_kind == 'own' then
  local own = redis.call('GET', 'profile:' .. profile)
  if not own or own == '-' then return {'need_profile', own or '', profile} end
  local version
  version, lane_kind = string.match(own, '^(%d+) (%a+)$')
  profile = profile .. '/' .. version
end
if scope == 'read' then return {'scope'} end
if role == 'viewer' then return {'role'} end
local rate_key = 'rate:' .. user .. ':' .. ARGV[5]
local rate = redis.call('INCR', rate_key)
if rate == 1 then redis.call('EXPIRE', rate_key, 120) end
if rate > tonumber(ARGV[6]) then return {'rate'} end
if redis.call('EXISTS', 'bridge:alive') == 1 and redis.call('GET', 'presence:' .. ARGV[3]) == '0' then return {'offline'} end
local quota_key = 'quota:' .. account .. ':' .. month
local used = redis.call('INCR', quota_key)
if used == 1 then redis.call('EXPIRE', quota_key, 5356800) end
if used > tonumber(limit) then
  redis.call('DECR', quota_key)
  return {'quota', account}
end
local lane = ''
if ARGV[7] == '1' and lane_kind ~= 'none' then
  local lane_key = 'lane:' .. ARGV[3]
  if lane_kind == 'api' then lane_key = lane_key .. ':' .. ARGV[4] end
  lane = '0'
  if redis.call('EXISTS', lane_key .. ':next') == 0 and redis.call('SET', lane_key, ARGV[8], 'NX', 'PX', ARGV[9]) then
    lane = tostring(redis.call('EXISTS', lane_key))
  end
end
local left = redis.call('PTTL', access_key)
local renew = left < tonumber(ARGV[12]) and access or ''
return {'ok', user, profile, account, lane, lane_kind, month, rate, used, limit, ends, renew}
""")

# KEYS: lane. ARGV: owner. Only the owner opens a lane.
RELEASE = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
# KEYS: lane, who is next. ARGV: owner | lease ms | ms for which a turn is kept. Keeps a lane that is ours, or takes a free one.
# The first that finds it taken is next: without that, a process that gives the lane back after its share takes it again at once.
# Who has it is told of that, and of its loss (EXISTS: of what it has changed itself it is told only after reading it again).
HOLD = Script("""
local owner, after = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if owner == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return redis.call('EXISTS', KEYS[1])
end
if not owner and (not after or after == ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  redis.call('DEL', KEYS[2])
  redis.call('EXISTS', KEYS[2])
  return redis.call('EXISTS', KEYS[1])
end
if not after or after == ARGV[1] then redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3]) end
return 0
""")
# KEYS: counter. ARGV: seconds. Counts one more.
COUNT = Script("""
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count
""")
# KEYS: access entry. ARGV: what it was when the database was asked | "1": the database says the same | for how many seconds more.
# Only what is still as it was is touched: a change that came meanwhile has buried it. EXISTS: we are not told of what we change
# ourselves, nor of what follows until we have read it again.
RENEW = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '1' then return redis.call('DEL', KEYS[1]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return redis.call('EXISTS', KEYS[1])
""")
# KEYS: commands in this minute | messages in this month: both were there a moment ago, with their time to live.
CHARGE = Script("return {redis.call('INCR', KEYS[1]), redis.call('INCR', KEYS[2])}")
SCRIPTS = (ADMIT, RELEASE, HOLD, COUNT, CHARGE, RENEW)

# Devices that one user may ask for in vain in a minute; a look-up that finds its device does not count.
LOOKS_PER_MINUTE = 1_000


# Who has less than this left, half of it all, is asked about anew beside a command that needs it, so that a device in use never
# waits for the database.
RENEW_MS = cache.TTL_S * 1000 // 2
MOST_RENEWALS = 500  # at once, in a process; who is one too many is looked up when its entry has ended

# Token, access and profile may each have to be looked up, and each may be buried again meanwhile by a change.
ROUNDS = 7


class Source(StrEnum):
    """Where a command came from."""

    API = "api"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a token (its hash) from an address, or a user who was signed in some other way."""

    user_id: int | None
    token_hash: str | None = None
    source: Source = Source.API
    address: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """How far an admission reaches: the commands of this `minute` (since 1970), the messages of the month, when the right `ends`.

    `ends` in Unix seconds; the next command is decided anew from then on.
    """

    minute: int
    rate: int
    rate_limit: int
    used: int
    limit: int
    ends: int


@dataclass(frozen=True, slots=True)
class Admission:
    """A caller who may send.

    `profile`: its key in `devices.profile_store`; `month` (yyyymm): the one that the command was counted in; `lane_kind`: how
    much of the device its lane is, "api", "device" or "none".
    """

    user_id: int
    profile: str
    account: str
    month: str
    lane_taken: bool
    lane_kind: str
    terms: Terms

    def lane(self, api: str) -> str:
        """Return the lane that an api runs on, as the matcher names it."""
        return "*" if self.lane_kind == "device" else api


def not_found() -> Problem:
    """Return the answer for an unknown device and for another's alike."""
    return Problem(404, "not_found", "No such device.")


def cannot_check() -> Problem:
    """Return the answer while Valkey is away: without it nobody's right can be known."""
    return Problem(503, "unavailable", "The portal cannot check the command right now. Nothing was sent.", retry_after_s=1)


def changing() -> Problem:
    """Return the answer while a device is changed faster than it can be asked about."""
    detail = "Something about this device is changing right now. Nothing was sent; try again."
    return Problem(503, "unavailable", detail, retry_after_s=1)


_REFUSALS: dict[str, Problem] = {
    "unknown_token": Problem(401, "invalid_token", "That token is not known, has ended or was revoked."),
    "scope": Problem(403, "forbidden", "This token's scope does not allow that."),
    "role": Problem(403, "forbidden", "Your role in this account does not allow that."),
    "rate": Problem(429, "throttled", "Too many commands in this minute. Wait a little.", retry_after_s=30),
    "looks": Problem(429, "throttled", "Too many unknown devices in this minute. Wait a little.", retry_after_s=30),
    "offline": Problem(409, "device_offline", "The device is not connected. Nothing was sent."),
}


def _refusal(reason: str) -> Problem:
    """Return a fresh copy: an exception object carries the traceback of where it was raised."""
    known = _REFUSALS[reason]
    return Problem(known.status, known.code, known.detail, retry_after_s=known.retry_after_s)


def _used_up(account: str) -> Problem:
    """Return the answer to a command that neither the month nor the credits have a message for."""
    page = f"{settings.PORTAL_URL}{reverse('billing:subscription', args=[UUID(hex=account)])}"
    return Problem(402, "quota_exceeded", "All messages of this month are used. Nothing was sent.", see=page)


async def admit(
    valkey: Valkey,
    caller: Caller,
    device: str,
    api: str,
    *,
    take_lane: bool,
    owner: str,
    lease_ms: int,
    deadline: float,
    give_back: Callable[[Admission], None],
) -> Admission:
    """Decide whether `caller` may send to `device`; counts the command and may take its lane.

    Valkey decides also for a caller who leaves meanwhile: what it granted then goes to `give_back`. It answers, or is given up,
    in `LONGEST_WAIT_S`; the database has until `deadline` (monotonic clock), however often it is asked.

    Raises:
        Problem: 401, 402, 403, 404, 409 (offline), 429, or 503 when Valkey or the database is away: nobody's right can be known.
    """
    for _ in range(ROUNDS):
        now = time.time()
        minute, limit = int(now // 60), settings.COMMANDS_PER_MINUTE
        arguments = (
            caller.token_hash or "",
            "" if caller.user_id is None else str(caller.user_id),
            device,
            api,
            str(minute),
            limit,
            "1" if take_lane else "0",
            owner,
            lease_ms,
            int(now),
            LOOKS_PER_MINUTE,
            RENEW_MS,
        )
        try:
            answer = valkey.run(ADMIT, (), arguments)
            try:
                reply = await answer
            except asyncio.CancelledError:
                answer.undo(partial(_pass_on, give_back, minute, limit))
                raise
            admission = _granted(reply, minute, limit)
            if admission is not None:
                if reply[-1]:
                    _begin_renewal(valkey, admission.user_id, device, reply[-1].decode())
                return admission
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await _learn(valkey, caller, device, [part.decode() for part in reply])
        except ValkeyUnavailable as error:
            raise cannot_check() from error
        except (OperationalError, InterfaceError, TimeoutError) as error:
            logger.error("the database cannot be asked who may send: %s", error)
            raise cannot_check() from error
    raise changing()


def _granted(reply: list[Any], minute: int, rate_limit: int) -> Admission | None:
    """Return what the script's reply grants, if it grants anything."""
    if reply[0] != b"ok":
        return None
    _, user, profile, account, lane, lane_kind, month, rate, used, limit, ends, _ = reply
    terms = Terms(minute, rate, rate_limit, used, int(limit), ends)
    return Admission(int(user), profile.decode(), account.decode(), month.decode(), lane == b"1", lane_kind.decode(), terms)


def _pass_on(give_back: Callable[[Admission], None], minute: int, rate_limit: int, reply: list[Any]) -> None:
    """Give back what was granted to a caller who is gone."""
    admission = _granted(reply, minute, rate_limit)
    if admission is not None:
        give_back(admission)


def refund(valkey: Valkey, admission: Admission) -> None:
    """Take back the count of a command that was never sent."""
    valkey.post("DECR", cache.quota_key(admission.account, admission.month))


async def _learn(valkey: Valkey, caller: Caller, device: str, reply: list[str]) -> None:
    """Look up what the script did not find and keep it for the next asking, also that there is nothing.

    Raises:
        Problem: what was refused, or what the database does not know either; 429 where it was asked in vain too often.
    """
    match reply:
        case ["need_token", buried]:
            await _learn_token(valkey, caller, buried=bool(buried))
        case ["no_token"]:
            await _count_failure(valkey, caller)
            raise _refusal("unknown_token")
        case ["need_access", buried, user, looks_key]:
            entry = await _look_up_access(int(user), device)
            await _fill(valkey, cache.access_key(int(user), device), entry, buried=bool(buried))
            if entry is None:
                raise not_found()
            valkey.post("DECR", looks_key)
        case ["no_access"]:
            raise not_found()
        case ["need_profile", buried, profile]:
            await _learn_version(valkey, profile, buried=bool(buried))
        case ["quota", account]:
            raise _used_up(account)
        case [reason, *_]:
            raise _refusal(reason)


_renewals: dict[str, asyncio.Task[None]] = {}


def _begin_renewal(valkey: Valkey, user: int, device: str, entry: str) -> None:
    """Have an access entry asked about before it ends, unless that is under way."""
    key = cache.access_key(user, device)
    if key in _renewals or len(_renewals) >= MOST_RENEWALS:
        return
    task = _renewals[key] = asyncio.get_running_loop().create_task(_renew(valkey, user, device, entry))
    task.add_done_callback(lambda _: _renewals.pop(key))


async def _renew(valkey: Valkey, user: int, device: str, entry: str) -> None:
    """Let an entry live on if the database still says the same, else drop it; the next command looks it up then."""
    try:
        key, same = cache.access_key(user, device), await _look_up_again(user, device) == entry
        await valkey.run(RENEW, (key,), (entry, "1" if same else "0", cache.TTL_S))
        if not same and valkey.on_changed is not None:
            valkey.on_changed(key)
    except (ValkeyUnavailable, OperationalError, InterfaceError) as error:
        logger.info("an access entry was not renewed: %s", error)  # it ends by itself


# Look-ups of tokens under way. Of many who come with one token at once, one asks and is counted: a good token that is not kept
# yet must not look like a flood of bad ones.
_asking: dict[tuple[Valkey, str, str], asyncio.Task[None]] = {}
LOOKUP_S = 5.0


async def _learn_token(valkey: Valkey, caller: Caller, *, buried: bool) -> None:
    key = (valkey, caller.token_hash or "", caller.address)  # what one address is refused is not another's business
    task = _asking.get(key)
    if task is None:
        task = _asking[key] = asyncio.get_running_loop().create_task(_ask_for_token(valkey, caller, buried=buried))
        task.add_done_callback(lambda done: (_asking.pop(key), done.cancelled() or done.exception()))  # nobody may be waiting
    await asyncio.shield(task)  # the one who came first may leave


async def _ask_for_token(valkey: Valkey, caller: Caller, *, buried: bool) -> None:
    """Look a token up. It counts as a failure until it proves good.

    Raises:
        Problem: 401, there is none; 429, its address has brought too many that there are not.
    """
    window = await _count_failure(valkey, caller)
    try:
        async with asyncio.timeout(LOOKUP_S):  # or all who come with it later would wait for one that hangs
            entry = await _look_up_token(caller.token_hash or "")
            await _fill(valkey, cache.token_key(caller.token_hash or ""), entry, buried=buried)
    except BaseException:
        valkey.post("DECR", window.key)
        raise
    if entry is None:
        raise _refusal("unknown_token")
    valkey.post("DECR", window.key)


async def _learn_version(valkey: Valkey, profile: str, *, buried: bool) -> None:
    """Look up what is in force of an own profile; if it was deleted just now, the next asking finds what the device has."""
    entry = await _look_up_profile(profile)
    if entry is not None:
        await _fill(valkey, cache.profile_key(profile), entry, buried=buried)


async def _count_failure(valkey: Valkey, caller: Caller) -> Window:
    """Count a token that is not known, and refuse an address that has brought too many.

    Raises:
        Problem: 429 with the time to wait.
    """
    window = failures(caller.address)
    if await valkey.run(COUNT, (window.key,), (str(window.kept_s),)) > window.limit:
        raise window.refusal()
    return window


async def _fill(valkey: Valkey, key: str, entry: str | None, *, buried: bool) -> None:
    """Keep what the database said under `key`: for a minute, or for seconds that there is nothing.

    Where the script saw nothing, another's entry or a burial that came meanwhile stays. Where it saw a burial, the change had
    been committed before the database was asked, so the entry is true; it takes the burial's place, and its remaining seconds.
    """
    how = ("XX", "KEEPTTL") if buried else ("NX", "EX", cache.TTL_S if entry else cache.NOTHING_S)
    await valkey.call("SET", key, entry or cache.NOTHING, *how)


# Look-ups have threads of their own: a view that sends a command blocks the one that Django gave its request.
_LOOKUPS = ThreadPoolExecutor(4, "admission")
_RENEWALS = ThreadPoolExecutor(1, "renewals")  # nobody waits for them


def _token_entry(token_hash: str) -> str | None:
    found = ApiToken.objects.filter(token_hash=token_hash, user__is_active=True)
    token = found.values("user_id", "kind", "scopes", "expires_at").first()
    if token is None:
        return None
    expiry = int(token["expires_at"].timestamp()) if token["expires_at"] else 0
    scope = "control" if token_may(token["kind"], token["scopes"], Action.CONTROL) else "read"  # all this path needs
    return f"{token['user_id']} {scope} {expiry}"


_ACCESS = """
    SELECT device.account_id, member.role, device.profile, device.own_profile_id
    FROM devices_device device
    JOIN accounts_membership member ON member.account_id = device.account_id AND member.user_id = %(user)s
    JOIN accounts_user person ON person.id = member.user_id AND person.is_active
    WHERE device.id = %(device)s AND device.deleted_at IS NULL
"""


def _access_entry(user_id: int, device: str) -> str | None:
    """Return what ADMIT keeps of a user and a device, None where there is none such: all of it in one trip to the database."""
    found = allowances_of(_ACCESS, {"user": user_id, "device": UUID(hex=device)})
    if not found:
        return None
    ((month, (account, role, shipped, own)),) = found
    profile, lane_kind = (shipped, _lane_kind(get_profile(shipped))) if own is None else (own.hex, "own")
    return f"{role} {profile} {lane_kind} {account.hex} {month.limit} {month.month} {int(month.ends_at.timestamp())}"


def _profile_entry(profile: str) -> str | None:
    version = OwnProfile.objects.filter(pk=UUID(hex=profile)).values_list("version", flat=True).first()
    if version is None:
        return None
    return f"{version} {_lane_kind(profile_store.find(profile_store.own_key(UUID(hex=profile), version)))}"


def _lane_kind(profile: Profile) -> str:
    """Return what of a device a command occupies, as the matcher decides."""
    return "none" if profile.echo_id and profile.lane == "api" else profile.lane


async def known_profile(key: str) -> Profile:
    """Return the profile of an admission; a version that this process has not met yet is asked for.

    Raises:
        Problem: 503, the database is away, or it was saved so often meanwhile that this version is not kept any more.
    """
    profile = profile_store.known(key)
    if profile is not None:
        return profile
    try:
        return await _find_profile(key)
    except UnknownProfile as error:
        raise changing() from error
    except (OperationalError, InterfaceError) as error:
        raise cannot_check() from error


_look_up_token = database_sync_to_async(_token_entry, thread_sensitive=False, executor=_LOOKUPS)
_look_up_profile = database_sync_to_async(_profile_entry, thread_sensitive=False, executor=_LOOKUPS)
_find_profile = database_sync_to_async(profile_store.find, thread_sensitive=False, executor=_LOOKUPS)
_look_up_access = database_sync_to_async(_access_entry, thread_sensitive=False, executor=_LOOKUPS)
_look_up_again = database_sync_to_async(_access_entry, thread_sensitive=False, executor=_RENEWALS)
