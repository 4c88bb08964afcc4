"""What Valkey granted a moment ago and has not taken back: the same caller's next command to the same device need not ask again.

The admission's script reads keys, and Valkey tells of each of them that another changes (`iotportal.valkey`). Until it does, the
same question has the same answer, so a command is decided here and counted in Valkey while it is on its way. Whatever goes wrong
with the telling, nothing stands for longer than STANDING_S; and where little is left of a minute or of a month, nothing stands
at all, so that no limit is passed (docs/adr/0009).
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from iotportal.valkey import Answer, Valkey
from messaging import cache
from messaging.gateway.admission import CHARGE, Admission, Caller

STANDING_S = 1.0
MOST = 10_000
# So much has to be left: more than all web processes send in the few milliseconds until a command that was sent is counted.
RESERVE = 500
MINUTE_S = 60

Question = tuple[str | None, int | None, str]


@dataclass(slots=True, weakref_slot=True)
class Budget:
    """A counter in Valkey: what it stood at when we last heard, and how many of ours it may not have counted by then."""

    key: str
    limit: int
    used: int = 0
    under_way: int = 0

    @property
    def ample(self) -> bool:
        """Whether more is left than could be used up before we hear of it."""
        return self.limit - self.used - self.under_way > RESERVE


@dataclass(slots=True)
class Standing:
    """A grant that stands. `taking`: the same, for a command that takes the lane with it."""

    admission: Admission
    taking: Admission
    until: float
    rate: Budget
    quota: Budget
    keys: list[str]

    def charge(self, valkey: Valkey) -> None:
        """Count a command. Raises ValkeyUnavailable: then it is not counted, and may not be sent."""
        answer = valkey.run(CHARGE, (self.rate.key, self.quota.key), (), urgent=False)
        self.rate.under_way += 1
        self.quota.under_way += 1
        answer.add_done_callback(self._charged)

    def _charged(self, answer: Answer) -> None:
        self.rate.under_way -= 1
        self.quota.under_way -= 1
        if not answer.cancelled() and answer.exception() is None:
            self.rate.used, self.quota.used = answer.result()


class Standings:
    """The grants that stand in this process."""

    def __init__(self) -> None:
        self._known: OrderedDict[Question, Standing] = OrderedDict()
        self._by_key: defaultdict[str, set[Question]] = defaultdict(set)
        self._budgets: WeakValueDictionary[str, Budget] = WeakValueDictionary()
        self.changes = 0  # who asks Valkey and finds another number afterwards may hold what was changed meanwhile

    def find(self, caller: Caller, device: str) -> Standing | None:
        """Return what stands for a caller and a device."""
        question = (caller.token_hash, caller.user_id, device)
        found = self._known.get(question)
        if found is None:
            return None
        if found.until <= time.monotonic():
            self._forget(question)
            return None
        return found if found.rate.ample and found.quota.ample else None

    def keep(self, caller: Caller, device: str, admission: Admission) -> None:
        """Let what Valkey has just granted stand."""
        now, terms = time.time(), admission.terms
        lasts = min(STANDING_S, terms.ends - now, (terms.minute + 1) * MINUTE_S - now)
        budgets = (
            self._budget(f"rate:{admission.user_id}:{terms.minute}", terms.rate, terms.rate_limit),
            self._budget(cache.quota_key(admission.account, admission.month), terms.used, terms.limit),
        )
        keys = [
            cache.access_key(admission.user_id, device),
            cache.presence_key(device),
            cache.profile_key(admission.profile.partition("/")[0]),
        ]
        if caller.token_hash:
            keys.append(cache.token_key(caller.token_hash))
        question = (caller.token_hash, caller.user_id, device)
        self._forget(question)
        without, taking = replace(admission, lane_taken=False), replace(admission, lane_taken=True)
        self._known[question] = Standing(without, taking, time.monotonic() + lasts, *budgets, keys)
        for key in keys:
            self._by_key[key].add(question)
        if len(self._known) > MOST:
            self._forget(next(iter(self._known)))

    def changed(self, key: str | None) -> None:
        """Take back what was granted by what a key said; all of it where it is not known which have changed."""
        self.changes += 1
        if key is None or key == cache.BRIDGE_ALIVE:  # without a bridge nobody is taken for offline
            self._known.clear()
            self._by_key.clear()
            return
        for question in tuple(self._by_key.get(key, ())):
            self._forget(question)

    def _budget(self, key: str, used: int, limit: int) -> Budget:
        budget = self._budgets.get(key)
        if budget is None:
            budget = self._budgets[key] = Budget(key, limit)
        budget.used, budget.limit = used, limit
        return budget

    def _forget(self, question: Question) -> None:
        standing = self._known.pop(question, None)
        if standing is None:
            return
        for key in standing.keys:
            self._by_key[key].discard(question)
            if not self._by_key[key]:
                del self._by_key[key]
