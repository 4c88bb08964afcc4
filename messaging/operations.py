"""The operations on a device that the API offers, as data: what a path means in terms of commands.

The raw ASGI handler and the DRF views both read this table, so they cannot differ.

    POST /api/v1/devices/{id}/commands        {"api": …, "arguments": {…}, "timeout": 5}
    GET  /api/v1/devices/{id}/status          POST /restart
    GET  /api/v1/devices/{id}/gpio/{number}   PUT  {"value": 1}
    GET  /api/v1/devices/{id}/rtc             PUT  {"value": 1574000000}
    GET  /api/v1/devices/{id}/ethernet        (address, mask, gateway and MAC at once)
    POST /api/v1/devices/{id}/uart            {"value": "hello world"}
    POST /api/v1/devices/{id}/notifications   {"recipient": …, "message": …}

`timeout` (1–30 s) may stand in the body or in the query string everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iotportal.problems import Problem
from iotportal.queries import refuse_unknown
from messaging.gateway.admission import Caller
from messaging.gateway.core import CommandResult, Gateway, check_timeout

Body = Mapping[str, object]
Command = tuple[str, dict[str, object]]  # api, arguments

ETHERNET = {"ip": "get_ip", "subnet": "get_subnet", "gateway": "get_gateway", "mac": "get_mac"}


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


def _pick(body: Body, *names: str) -> dict[str, object]:
    """Return the named fields that were given; the codec says what is missing or wrong."""
    return {name: body[name] for name in names if name in body}


def _whole(body: Body) -> dict[str, object]:
    """Return the value, which is a number in these forms; `"1"` passes in the generic command alone."""
    value = body.get("value")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Problem(400, "invalid", "Some fields are not right.", errors={"value": ["A whole number, without quotes."]})
    return _pick(body, "value")


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


_ALL = (
    Operation("POST", "commands", "Send a command", _generic, ("api", "arguments")),
    Operation("GET", "status", "Ask whether the device runs", lambda number, body: [("get_status", {})]),
    Operation("POST", "restart", "Restart the device", lambda number, body: [("set_status", {"value": "restart"})]),
    Operation("GET", "gpio", "Read a pin", lambda number, body: [("get_gpio", {"number": number})], numbered=True),
    Operation(
        "PUT",
        "gpio",
        "Set a pin",
        lambda number, body: [("set_gpio", {"number": number, **_whole(body)})],
        ("value",),
        numbered=True,
    ),
    Operation("GET", "rtc", "Read the clock", lambda number, body: [("get_rtc", {})]),
    Operation("PUT", "rtc", "Set the clock", lambda number, body: [("set_rtc", _whole(body))], ("value",)),
    Operation(
        "GET", "ethernet", "Read address, mask, gateway and MAC", lambda number, body: [(api, {}) for api in ETHERNET.values()]
    ),
    Operation("POST", "uart", "Write to the UART", lambda number, body: [("write_uart", _pick(body, "value"))], ("value",)),
    Operation(
        "POST",
        "notifications",
        "Have the device raise a notification",
        lambda number, body: [("trigger_notification", _pick(body, "recipient", "message"))],
        ("recipient", "message"),
    ),
)
OPERATIONS: dict[tuple[str, str], Operation] = {(operation.method, operation.path): operation for operation in _ALL}
