"""Certify a device's firmware against its profile: `python -m simulators.conformance --id ID --portal URL`.

The device is asked through the portal's API, as anybody asks it, so this runs from anywhere and on any portal. What it says
is read from the history as it came, byte for byte, before the portal's own leniency. The profile says what is to be expected;
no kind of device is known here. It reads only, unless `--sets` or `--restart` allow more: what a pin moves is not for a test.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, Literal

from devices.profiles import Api, Field, Profile
from simulators import values
from simulators.portal_api import Answered, PortalApi, PortalProblem, Refused
from simulators.profiles import ProfileProblem, fetch_profile

Verdict = Literal["pass", "fail", "skip", "note"]

ROUNDS = 5
BURST = 20  # commands in a row, one after the other: what a device loses that does not listen while it works
AT_ONCE = 4
HISTORY_S = 5.0
RESTART_S = 60.0
UNKNOWN_API = "get_conformance_probe"
HARD_TEXT = 'say "hi" \\ {é}'  # a quote, a backslash, a brace and a letter outside ASCII


@dataclass(frozen=True)
class Finding:
    """One line of the report. `rule`: what the profile asks for; `what`: what was seen."""

    api: str
    rule: str
    verdict: Verdict
    what: str = ""


@dataclass
class Report:
    """What was found, in the order in which it was tried, and how long answers took (milliseconds)."""

    device: str
    profile: str
    findings: list[Finding] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)

    @property
    def conformant(self) -> bool:
        """Whether nothing failed, and something was tried."""
        verdicts = [one.verdict for one in self.findings]
        return "fail" not in verdicts and "pass" in verdicts

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "device": self.device,
            "profile": self.profile,
            "conformant": self.conformant,
            "median_ms": round(median(self.took_ms), 3) if self.took_ms else None,
            "slowest_ms": round(max(self.took_ms), 3) if self.took_ms else None,
            "findings": [vars(one) for one in self.findings],
        }

    def as_text(self) -> str:
        """Return the report for people."""
        width = max((len(one.api) for one in self.findings), default=0)
        lines = [f"Device {self.device}, profile {self.profile}", ""]
        for one in self.findings:
            rest = f": {one.what}" if one.what else ""
            lines.append(f"  {one.verdict:4}  {one.api:{width}}  {one.rule}{rest}")
        counts = {verdict: sum(one.verdict == verdict for one in self.findings) for verdict in ("pass", "fail", "skip")}
        lines += ["", f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} left out."]
        if self.took_ms:
            lines.append(f"Answers took {median(self.took_ms):.1f} ms (median), {max(self.took_ms):.1f} ms (slowest).")
        lines.append("Conformant." if self.conformant else "NOT conformant.")
        return "\n".join(lines)


@dataclass(frozen=True)
class Options:
    """What may be tried. `sets`: names of the sets that may be sent, "all" for every one."""

    rounds: int = ROUNDS
    sets: frozenset[str] = frozenset()
    restart: bool = False

    def allows(self, api: Api) -> bool:
        """Say whether this api may be sent."""
        return api.kind == "get" or api.name in self.sets or "all" in self.sets


class Conformance:
    """One device under test."""

    def __init__(self, portal: PortalApi, device_id: str, profile: Profile, options: Options) -> None:
        self._portal = portal
        self._id = device_id
        self._profile = profile
        self._options = options
        self.report = Report(device_id, profile.slug)

    def run(self, tell: Callable[[Finding], None] = lambda _: None) -> Report:
        """Try everything that the profile says and the options allow; `tell` hears each finding at once."""
        for finding in self._all():
            self.report.findings.append(finding)
            tell(finding)
        return self.report

    def _all(self) -> Iterator[Finding]:
        for api in self._profile.apis.values():
            yield from self._one(api)
        if not self.report.took_ms:
            return  # it answers nothing: the rest would only take its time
        yield from self._keeps_what_was_set()
        yield from self._tells_two_apart()
        yield from self._answers_in_a_row()
        yield from self._refuses_unknown()
        yield from self._restarts()

    # --- one api --------------------------------------------------------------------------------------------------------------

    def _one(self, api: Api) -> Iterator[Finding]:
        if api.kind == "event":
            yield self._skip(api.name, "is said by the device itself", "nothing to ask; see the history")
            return
        if api.tile == "restart":
            return  # tried last
        if not self._options.allows(api):
            yield self._skip(api.name, "is answered", f"it sets something; --sets {api.name} allows it")
            return
        for arguments in _variants(api, self._options.rounds):
            answer = self._send(api.name, arguments)
            yield from self._judge(api, arguments, answer)
            if isinstance(answer, Refused):
                return
        yield from self._hard_text(api)

    def _judge(self, api: Api, arguments: Mapping[str, Any], answer: Answered | Refused) -> Iterator[Finding]:
        if isinstance(answer, Refused):
            yield Finding(api.name, "is answered", "fail", answer.why)
            return
        yield Finding(api.name, "is answered", "pass", _said(arguments))
        raw = self._raw(answer)
        if raw is None:
            yield self._skip(api.name, "is JSON as it came", "the answer is not in the history; is the bridge running?")
            return
        problems = wrong_with(self._profile, api, arguments, raw, answer.id)
        yield from (Finding(api.name, rule, "fail", what) for rule, what in problems)
        if not problems:
            yield Finding(api.name, "answers as the profile says", "pass")

    def _hard_text(self, api: Api) -> Iterator[Finding]:
        """Send a text that has to be escaped to a device that says that it can."""
        free = [one for one in api.fields if one.type == "string" and not one.choices and one.format in ("", "recipient")]
        if api.kind != "set" or not free or api.recover_text:
            return
        arguments = {**values.arguments(api), free[-1].name: _cut(HARD_TEXT, free[-1].max_bytes)}
        answer = self._send(api.name, arguments)
        if isinstance(answer, Refused):
            yield Finding(api.name, "takes quotes, backslashes and é", "fail", answer.why)
            return
        same = answer.answer.get(free[-1].name) == arguments[free[-1].name] or free[-1].name not in api.echo
        yield Finding(
            api.name, "takes quotes, backslashes and é", "pass" if same else "fail", "" if same else _short(answer.answer)
        )

    # --- several ----------------------------------------------------------------------------------------------------------------

    def _keeps_what_was_set(self) -> Iterator[Finding]:
        """Set, then get the same: the answer to a get has what the set said."""
        for api in self._profile.apis.values():
            reader = self._profile.apis.get("get_" + api.name[4:])
            if not api.name.startswith("set_") or reader is None or api.tile == "restart" or not self._options.allows(api):
                continue
            arguments = values.arguments(api)
            asked = {name: value for name, value in arguments.items() if name in {one.name for one in reader.fields}}
            done, said = self._send(api.name, arguments), self._send(reader.name, asked)
            refused = [one.why for one in (done, said) if isinstance(one, Refused)]
            if isinstance(said, Refused) or refused:
                yield Finding(api.name, "is there when it is read", "fail", refused[0])
                continue
            differing = [name for name, value in arguments.items() if not _same(reader, name, value, said.answer)]
            what = f"set {_short(arguments)}, read {_short(said.answer)}" if differing else ""
            yield Finding(api.name, "is there when it is read", "fail" if differing else "pass", what)

    def _tells_two_apart(self) -> Iterator[Finding]:
        """Ask for several pins at once: each caller gets their own."""
        for api in self._profile.apis.values():
            if api.kind != "get" or not api.echo:
                continue
            several = [dict(one) for one in _variants(api, AT_ONCE)]
            with ThreadPoolExecutor(AT_ONCE) as threads:
                answers = list(threads.map(partial(self._send, api.name), several * 2))
            wrong = [
                _short(given)
                for given, answer in zip(several * 2, answers, strict=True)
                if isinstance(answer, Refused) or any(answer.answer.get(name) != given[name] for name in api.echo)
            ]
            rule = f"answers {len(answers)} who ask at once"
            yield Finding(api.name, rule, "fail" if wrong else "pass", ", ".join(wrong))

    def _answers_in_a_row(self) -> Iterator[Finding]:
        """Ask again as soon as it has answered: a device that is deaf meanwhile must listen again within its profile's time."""
        api = next((one for one in self._profile.apis.values() if one.kind == "get" and not one.fields), None)
        if api is None:
            return
        refused = [answer for answer in (self._send(api.name, {}) for _ in range(BURST)) if isinstance(answer, Refused)]
        rule = f"answers {BURST} in a row"
        yield Finding(api.name, rule, "fail" if refused else "pass", f"{len(refused)} lost: {refused[0].why}" if refused else "")

    def _refuses_unknown(self) -> Iterator[Finding]:
        if not self._profile.open:
            yield self._skip(UNKNOWN_API, "is refused in words", "the portal sends no unknown name to this kind of device")
            return
        answer = self._send(UNKNOWN_API, {}, timeout_s=2)
        if self._profile.errors:
            good = isinstance(answer, Refused) and answer.code == "device_error"
            what = "" if good else answer.why if isinstance(answer, Refused) else _short(answer.answer)
            yield Finding(UNKNOWN_API, "is refused in words", "pass" if good else "fail", what)
        elif isinstance(answer, Refused):
            yield Finding(UNKNOWN_API, "does no harm", "pass", "it is silent, as it may be")
        else:
            yield Finding(UNKNOWN_API, "does no harm", "note", f"it answered {_short(answer.answer)}")
        if (alive := self._status()) is not None:
            yield Finding("get_status", "is answered after an unknown command", "pass" if alive else "fail")

    def _restarts(self) -> Iterator[Finding]:
        api = next((one for one in self._profile.apis.values() if one.tile == "restart"), None)
        if api is None:
            return
        if not self._options.restart:
            yield self._skip(api.name, "comes back after a restart", "--restart allows it")
            return
        began, answer = time.monotonic(), self._send(api.name, values.arguments(api))
        if isinstance(answer, Refused):
            yield Finding(api.name, "is answered before the restart", "fail", answer.why)
            return
        yield Finding(api.name, "is answered before the restart", "pass")
        back = self._wait_until_back(answer, began)
        what = f"after {back:.1f} s" if back is not None else f"not within {RESTART_S:.0f} s"
        yield Finding(api.name, "comes back after a restart", "fail" if back is None else "pass", what)

    def _wait_until_back(self, answer: Answered, began: float) -> float | None:
        """Return how long it took; None if it did not connect anew, or does not answer."""
        while time.monotonic() - began < RESTART_S:
            if self._portal.has_come_since(answer) and self._status() is not False:
                return time.monotonic() - began
            time.sleep(0.05)
        return None

    # --- asking -----------------------------------------------------------------------------------------------------------------

    def _status(self) -> bool | None:
        """Say whether it answers; None where its kind has no status to ask for."""
        if "get_status" not in self._profile.apis:
            return None
        return isinstance(self._send("get_status", {}), Answered)

    def _send(self, api: str, arguments: Mapping[str, Any], timeout_s: float | None = None) -> Answered | Refused:
        answer = self._portal.send(self._id, api, arguments, timeout_s)
        if isinstance(answer, Answered):
            self.report.took_ms.append(answer.answered_ms)
        return answer

    def _raw(self, answer: Answered) -> bytes | None:
        """Return what the device published, as the history has it."""
        end = time.monotonic() + HISTORY_S
        while (found := self._portal.said(answer)) is None and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def _skip(self, api: str, rule: str, why: str) -> Finding:
        return Finding(api, rule, "skip", why)


# --- what an answer must be, without I/O ----------------------------------------------------------------------------------------


def wrong_with(profile: Profile, api: Api, arguments: Mapping[str, Any], raw: bytes, command_id: str) -> list[tuple[str, str]]:
    """Return what is wrong with an answer as it came: (rule, what was seen) for each."""
    limit = profile.answer_limit_bytes
    if limit is not None and len(raw) > limit:
        return [(f"fits into {limit} bytes", f"{len(raw)} bytes")]
    try:
        body = json.loads(raw.decode("utf-8"))
    except ValueError as error:
        if api.recover_text:  # the documented firmware does not escape; the portal finds the text all the same
            return []
        return [("is JSON", f"{error}: {raw[:80]!r}")]
    if not isinstance(body, dict):
        return [("is a JSON object", _short(body))]
    wrong = [(f"{one.name} as declared", what) for one in api.answer if (what := _wrong_field(one, body))]
    wrong += [
        (f"repeats {name}", f"asked {_short(arguments[name])}, answered {_short(body.get(name))}")
        for name in api.echo
        if name in arguments and not _alike(body.get(name), arguments[name])
    ]
    if profile.echo_id and body.get("id") != command_id:
        wrong.append(("repeats the command's id", f"sent {command_id}, answered {_short(body.get('id'))}"))
    return wrong


_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,), "number": (int, float), "string": (str,), "boolean": (bool,), "object": (dict,), "array": (list,),
}  # fmt: skip


def _wrong_field(one: Field, body: Mapping[str, Any]) -> str:
    """Say what is wrong with a field of an answer, "" if nothing is."""
    if one.name not in body:
        return "it is missing" if one.required else ""
    value = body[one.name]
    if one.name == "number" and isinstance(value, str) and value.isdecimal():
        return ""  # documented: a pin may come back as text
    if not isinstance(value, _TYPES[one.type]) or isinstance(value, bool) != (one.type == "boolean"):
        return f"{_short(value)} is no {one.type}"
    if one.choices and value not in one.choices:
        return f"{_short(value)} is none of {', '.join(map(str, one.choices))}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = one.minimum, one.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            return f"{value} is not within {low} to {high}"
    return ""


def _variants(api: Api, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield arguments that the api takes: an example, then other numbers and choices as far as there are any."""
    first = values.arguments(api)
    seen = [first]
    yield first
    for step in range(1, rounds):
        other = {one.name: _another(one, first[one.name], step) for one in api.fields if one.name in first}
        if other not in seen:
            seen.append(other)
            yield other


def _another(one: Field, value: Any, step: int) -> Any:
    if one.choices:
        return one.choices[step % len(one.choices)]
    if one.type == "integer" and one.format != "epoch":
        low = 0 if one.minimum is None else int(one.minimum)
        high = low + 100 if one.maximum is None else int(one.maximum)
        return low + (int(value) - low + step) % (high - low + 1)
    return value


def _same(reader: Api, name: str, value: Any, answer: Mapping[str, Any]) -> bool:
    """Say whether a get's answer has what was set; a clock has gone on meanwhile."""
    declared = {one.name: one for one in reader.answer}.get(name)
    if declared is None:
        return True
    said = answer.get(name)
    if declared.format == "epoch" and isinstance(said, (int, float)):
        return bool(value <= said <= value + 60)
    return _alike(said, value)


def _alike(one: Any, other: Any) -> bool:
    return one == other or (isinstance(one, str) and not isinstance(other, str) and one == str(other))


def _cut(text: str, most_bytes: int | None) -> str:
    """Return as much of a text as fits between the quotes on the wire."""
    while most_bytes is not None and len(json.dumps(text)) - 2 > most_bytes:
        text = text[:-1]
    return text


def _said(arguments: Mapping[str, Any]) -> str:
    return _short(arguments) if arguments else ""


def _short(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 120 else text[:119] + "…"


# --- the command line -----------------------------------------------------------------------------------------------------------


def main(words: Sequence[str] | None = None) -> int:
    """Test one device and print the report. Returns 0: conformant, 1: not, 2: it could not be tested."""
    arguments = _parser().parse_args(words)
    token = arguments.token or os.environ.get("PORTAL_TOKEN", "")
    allowed = frozenset(word for word in arguments.sets.split(",") if word)
    try:
        profile = fetch_profile(arguments.portal, token, arguments.id)
        portal = PortalApi(arguments.portal, token)
        test = Conformance(portal, arguments.id, profile, Options(arguments.rounds, allowed, arguments.restart))
        report = test.run()
    except (PortalProblem, ProfileProblem) as problem:
        print(problem, file=sys.stderr)
        return 2
    print(json.dumps(report.as_json(), indent=1) if arguments.json else report.as_text())
    return 0 if report.conformant else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulators.conformance",
        description="Certify a device's firmware against its profile, through the portal that it is connected to.",
        epilog="Exit code 0: conformant, 1: not conformant, 2: it could not be tested.",
    )
    parser.add_argument("--id", required=True, metavar="ID", help="the device, 32 hex digits")
    parser.add_argument("--portal", required=True, metavar="URL", help="the portal's address")
    parser.add_argument("--token", default="", help="an API token that may control; better in the variable PORTAL_TOKEN")
    parser.add_argument("--sets", default="", metavar="API,…", help="sets that may be sent, or all; unless given it only reads")
    parser.add_argument("--restart", action="store_true", help="restart the device and see it come back")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how many different values to try of an api ({ROUNDS})")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
