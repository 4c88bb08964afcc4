"""The operations on a device that the API offers, as data: what a path means in terms of commands.

The raw ASGI handler and the DRF views both read this table, so they cannot differ. What a documented path takes, and what it is
called, its api in the standard profile says; whether a device can do it, and within which bounds, the device's own profile.

    POST /api/v1/devices/{id}/commands        {"api": …, "arguments": {…}, "timeout": 5}
    GET  /api/v1/devices/{id}/status          POST /restart
    GET  /api/v1/devices/{id}/gpio/{number}   PUT  {"value": 1}
    GET  /api/v1/devices/{id}/rtc             PUT  {"value": 1574000000}
    GET  /api/v1/devices/{id}/ethernet        (address, mask, gateway and MAC at once)
    POST /api/v1/devices/{id}/uart            {"value": "hello world"}
    POST /api/v1/devices/{id}/notifications   {"recipient": …, "message": …}
    GET  /api/v1/devices/{id}/apis/{api}      ?number=3     any get of the profile: its fields stand in the query
                                              PUT  {"number": 3, "value": 1}       any set: its fields are the body

`timeout` (1–30 s) may stand in the query string everywhere, and in the body where that is not the command itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from devices.profiles import DEFAULT_PROFILE, Field, get_profile
from iotportal.problems import Problem
from iotportal.queries import FORMAT, refuse_unknown
from messaging.gateway.admission import Caller
from messaging.gateway.core import CommandResult, Gateway, check_timeout

Body = Mapping[str, object]
Command = tuple[str, dict[str, object]]  # api, arguments

DOCUMENTED = get_profile(DEFAULT_PROFILE)
ETHERNET = {name: f"get_{name}" for name in ("ip", "subnet", "gateway", "mac")}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `commands` says what is sent for the path's number and the body."""

    method: str
    path: str
    title: str
    commands: Callable[[int | None, Body], list[Command]]
    takes: tuple[str, ...] = ()  # the body's fields, besides timeout
    numbered: bool = False

    async def run(
        self, gateway: Gateway, caller: Caller, device: str, number: int | None, body: Body, query: Mapping[str, str]
    ) -> dict[str, object]:
        """Send the operation's commands and return what the API answers.

        Raises:
            Problem: 400 for a body of the wrong shape; the rest as `Gateway.send`.
        """
        refuse_unknown(query, ("timeout",))
        timeout_s = _timeout(body, query)
        _refuse_unknown(body, self.takes)
        commands = self.commands(number, body)
        if len(commands) == 1:
            api, arguments = commands[0]
            return single_json(await gateway.send(caller, device, api, arguments, timeout_s))
        results = await _all(gateway, caller, device, commands, timeout_s)
        return combined_json(results)


@dataclass(frozen=True, slots=True)
class ApiOperation:
    """Any api of the device's profile by its name: a get with its fields in the query, a set with its fields as the body."""

    method: str
    kind: Literal["get", "set"]
    title: str
    path: str = "apis"

    async def run(
        self, gateway: Gateway, caller: Caller, device: str, api: str, body: Body, query: Mapping[str, str]
    ) -> dict[str, object]:
        """Send the api's command and return what the API answers.

        Raises:
            Problem: 405, the api is of the other kind; the rest as `Gateway.send`.
        """
        given = body
        if self.kind == "get":
            given = {name: text for name, text in query.items() if name not in ("timeout", FORMAT)}
        else:
            refuse_unknown(query, ("timeout",))
        timeout_s = _timeout({}, query)
        return single_json(await gateway.send(caller, device, api, given, timeout_s, kind=self.kind))


async def _all(
    gateway: Gateway, caller: Caller, device: str, commands: list[Command], timeout_s: float | None
) -> list[CommandResult]:
    """Send several at once; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(gateway.send(caller, device, api, arguments, timeout_s)) for api, arguments in commands]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def single_json(result: CommandResult) -> dict[str, object]:
    """Return the body of one answered command; `value` is the answer's, where it has one."""
    return {**result.as_json(), "value": result.answer.get("value", result.text)}


def combined_json(results: list[CommandResult]) -> dict[str, object]:
    """Return the body of the Ethernet screen: a value and a timeline per name."""
    by_api = {result.api: result for result in results}
    names = {name: by_api[api] for name, api in ETHERNET.items()}
    return {
        **{name: result.answer.get("value", result.text) for name, result in names.items()},
        "device": results[0].device,
        "commands": {name: result.as_json() for name, result in names.items()},
    }


def find_operation(method: str, path: str, number: str | None) -> Operation | None:
    """Return the operation of this method and path, or None."""
    operation = OPERATIONS.get((method, path))
    return operation if operation is not None and operation.numbered == (number is not None) else None


API_OPERATIONS = {
    operation.method: operation
    for operation in (
        ApiOperation("GET", "get", "Ask for any api of the profile"),
        ApiOperation("PUT", "set", "Set any api of the profile"),
    )
}


def _timeout(body: Body, query: Mapping[str, str]) -> float | None:
    """Return the timeout: the body's, or the query's, or None; both must be right."""
    asked = check_timeout(_number(query["timeout"])) if "timeout" in query else None
    return check_timeout(body["timeout"]) if body.get("timeout") is not None else asked


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0  # as wrong as any


def _refuse_unknown(body: Body, takes: tuple[str, ...]) -> None:
    unknown = {name: ["There is no such field here."] for name in body if name not in takes and name != "timeout"}
    if unknown:
        raise Problem(400, "invalid", "Some fields are not right.", errors=unknown)


def _given(fields: Iterable[Field], body: Body) -> dict[str, object]:
    """Return the fields that were given; the codec says what is missing or wrong.

    A whole number is one in these forms; `"1"` passes in the generic command alone.
    """
    given = {field.name: body[field.name] for field in fields if field.name in body}
    for field in fields:
        value = given.get(field.name)
        if field.type == "integer" and value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            text = "A whole number, without quotes."
            raise Problem(400, "invalid", "Some fields are not right.", errors={field.name: [text]})
    return given


def _generic(number: int | None, body: Body) -> list[Command]:
    """Read the generic command's own shape."""
    errors: dict[str, list[str]] = {}
    api, arguments = body.get("api"), body.get("arguments", {})
    if not isinstance(api, str):
        errors["api"] = ["Name the api, for example get_gpio."]
    if not isinstance(arguments, dict):
        errors["arguments"] = ["A JSON object of the command's fields."]
    if errors or not isinstance(api, str) or not isinstance(arguments, dict):
        raise Problem(400, "invalid", "Some fields are not right.", errors=errors)
    return [(api, arguments)]


def _documented(method: str, path: str, name: str) -> Operation:
    """Return the operation that is one documented api. What has a default is sent as that: it is what the path is for."""
    api = DOCUMENTED.apis[name]
    numbered = any(field.name == "number" for field in api.fields)
    fixed = {field.name: field.default for field in api.fields if field.default is not None}
    takes = [field for field in api.fields if field.name != "number" and field.name not in fixed]

    def commands(number: int | None, body: Body) -> list[Command]:
        return [(name, {**({"number": number} if numbered else {}), **fixed, **_given(takes, body)})]

    return Operation(method, path, api.title, commands, tuple(field.name for field in takes), numbered)


_ALL = (
    Operation("POST", "commands", "Send a command", _generic, ("api", "arguments")),
    _documented("GET", "status", "get_status"),
    _documented("POST", "restart", "set_status"),
    _documented("GET", "gpio", "get_gpio"),
    _documented("PUT", "gpio", "set_gpio"),
    _documented("GET", "rtc", "get_rtc"),
    _documented("PUT", "rtc", "set_rtc"),
    Operation(
        "GET", "ethernet", "Read address, mask, gateway and MAC", lambda number, body: [(api, {}) for api in ETHERNET.values()]
    ),
    _documented("POST", "uart", "write_uart"),
    _documented("POST", "notifications", "trigger_notification"),
)
OPERATIONS: dict[tuple[str, str], Operation] = {(operation.method, operation.path): operation for operation in _ALL}
