"""`/api/devices/device/…` and `/api/user/histories`: commands, and what was said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Action
from accounts.api.authentication import user_of
from accounts.api.legacy.base import SignedIn, SignedInView
from devices.access import parse_device_id
from devices.api.legacy import ID, SENT, NamedDevice, find_device
from iotportal.bodies import as_object
from iotportal.legacy import answer
from iotportal.legacy_schema import COMMAND_ERRORS, DEVICE_ERRORS, Answer, describe
from iotportal.problems import Problem
from messaging import selectors
from messaging.api.serializers import TimeoutField
from messaging.api.views import PIN, run_operation
from messaging.models import Direction, Message
from messaging.operations import ETHERNET, Command, Operation

MOST_ROWS = 200
EPOCH = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1, "description": "Seconds since 1970, UTC."}


# --- commands ----------------------------------------------------------------------------------------------------------------


class CommandBody(NamedDevice):
    """What every command takes. The codec has the last word on a command's own fields."""

    timeout = TimeoutField(required=False, help_text="Seconds to wait for the answer, 1 to 30; 5 unless given.")


@extend_schema_field({"oneOf": [{"type": "integer", "minimum": 0, "maximum": int(PIN.maximum or 0)}, {"type": "string"}]})
class PinField(serializers.JSONField):
    """A pin's number; text of digits is taken too."""


@extend_schema_field({"oneOf": [{"type": "integer", "enum": [0, 1]}, {"type": "string", "enum": ["0", "1"]}]})
class LevelField(serializers.JSONField):
    """A pin's level."""


@extend_schema_field(EPOCH)
class ClockField(serializers.JSONField):
    """A time."""


@extend_schema_field({"type": "string"})
class AnyTextField(serializers.JSONField):
    """Text for the device."""


class PinBody(CommandBody):
    """Which pin."""

    number = PinField(help_text="The pin.")


class LevelBody(PinBody):
    """A pin and its level."""

    value = LevelField(help_text="0 is LOW, 1 is HIGH.")


class ClockBody(CommandBody):
    """A time."""

    value = ClockField()


class TextBody(CommandBody):
    """A text."""

    value = AnyTextField()


class NotifyBody(CommandBody):
    """Whom to notify of what."""

    recipient = AnyTextField(help_text="An e-mail address, a phone number with +, or a device id.")
    message = AnyTextField()


@extend_schema_field({"description": "What the device answered."})
class AnyField(serializers.JSONField):
    """Whatever the device answered."""


class ValueAnswer(Answer):
    """What the device answered."""

    value = AnyField(help_text="The answer's value; the whole answer where it has none.")


class EthernetAnswer(Answer):
    """The network of a device."""

    ip = serializers.CharField(allow_null=True)
    subnet = serializers.CharField(allow_null=True)
    gateway = serializers.CharField(allow_null=True)
    mac = serializers.CharField(allow_null=True)


class CommandView(SignedInView):
    """A command to a device; the answer is the device's."""

    required_action = Action.CONTROL

    def _run(self, request: Request, form: Form) -> Response:
        """Send the form's commands over the same gateway as version 1 does, and answer in this API's shape."""
        device = find_device(request, self.taken(request, NamedDevice), Action.CONTROL)
        self.taken(request, form.takes)  # after the device: a stranger is told nothing but that there is none
        data = as_object(request.data)
        body = {name: data[name] for name in (*form.fields, "timeout") if data.get(name) is not None}
        try:
            said = run_operation(request, device, form.operation, None, body, {})
        except Problem as problem:
            raise _as_documented(problem) from problem
        fields = {name: said[name] for name in ETHERNET} if "commands" in said else {"value": _value(said)}
        return answer(f"{device.name} answered.", **fields)


def _as_documented(problem: Problem) -> Problem:
    """Say 504 with `device_timeout` of every device that does not answer: old clients know no other reason."""
    if problem.code in {"device_offline", "device_busy"}:
        return Problem(504, "device_timeout", problem.detail)
    return problem


def _value(said: dict[str, object]) -> object:
    return said["answer"] if said["value"] is None else said["value"]


@dataclass(frozen=True, slots=True)
class Form:
    """The get form or the set form of a path: what it sends for a body."""

    title: str
    api: str
    takes: type[CommandBody]
    fields: tuple[str, ...] = ()
    sent: tuple[tuple[str, object], ...] = ()
    got: object = None

    @property
    def operation(self) -> Operation:
        """The same thing as version 1 runs it."""
        return Operation("POST", self.api, self.title, lambda _, body: self._commands(body), self.fields)

    def _commands(self, body: Any) -> list[Command]:
        if self.api == "ethernet":
            return [(api, {}) for api in ETHERNET.values()]
        return [(self.api, {name: body[name] for name in self.fields if name in body})]

    def describe(self, name: str) -> Any:
        """Return the form's description."""
        got = self.got if isinstance(self.got, dict) else {"value": self.got}
        return describe(
            name,
            self.title,
            takes=self.takes,
            answers=EthernetAnswer if self.api == "ethernet" else ValueAnswer,
            sent={**SENT, **dict(self.sent)},
            got={"message": "Pump answered.", **got},
            errors=COMMAND_ERRORS,
        )


class GetView(CommandView):
    """Only reads."""

    read: ClassVar[Form]

    def post(self, request: Request) -> Response:
        """Ask the device and return what it answers. GET with the same body does so too."""
        return self._run(request, self.read)

    get = post


class GetAndPutView(GetView):
    """Reads and sets."""

    write: ClassVar[Form]

    def put(self, request: Request) -> Response:
        """Tell the device and return what it answers."""
        return self._run(request, self.write)


class PutView(CommandView):
    """Only sets."""

    write: ClassVar[Form]

    def post(self, request: Request) -> Response:
        """Tell the device and return what it answers."""
        return self._run(request, self.write)

    put = post


_NETWORK = {"ip": "192.168.100.5", "subnet": "255.255.255.0", "gateway": "192.168.100.1", "mac": "00:c0:ca:90:61:05"}
_READS = {
    "status": Form("Ask whether the device runs", "get_status", CommandBody, got="running"),
    "gpio": Form("Read a pin", "get_gpio", PinBody, ("number",), (("number", 10),), 0),
    "rtc": Form("Read the clock", "get_rtc", CommandBody, got=1574000000),
    "ethernet": Form("Read address, mask, gateway and MAC", "ethernet", CommandBody, got=_NETWORK),
    "ip": Form("Read the address", "get_ip", CommandBody, got=_NETWORK["ip"]),
    "subnet": Form("Read the mask", "get_subnet", CommandBody, got=_NETWORK["subnet"]),
    "gateway": Form("Read the gateway", "get_gateway", CommandBody, got=_NETWORK["gateway"]),
    "mac": Form("Read the MAC", "get_mac", CommandBody, got=_NETWORK["mac"]),
}
_WRITES = {
    "status": Form("Restart the device", "set_status", TextBody, ("value",), (("value", "restart"),), "restarting"),
    "gpio": Form("Set a pin", "set_gpio", LevelBody, ("number", "value"), (("number", 10), ("value", 1)), 1),
    "rtc": Form("Set the clock", "set_rtc", ClockBody, ("value",), (("value", 1574000000),), 1574000000),
    "mac": Form("Set the MAC", "set_mac", TextBody, ("value",), (("value", _NETWORK["mac"]),), _NETWORK["mac"]),
    "uart": Form("Write to the UART", "write_uart", TextBody, ("value",), (("value", "hello world"),), "hello world"),
    "notifications": Form(
        "Have the device raise a notification",
        "trigger_notification",
        NotifyBody,
        ("recipient", "message"),
        (("recipient", "alice@example.com"), ("message", "The tank is full.")),
        {"value": {"recipient": "alice@example.com", "message": "The tank is full."}},
    ),
}


def _view(name: str) -> type[CommandView]:
    """Return the view of one path."""
    read, write = _READS.get(name), _WRITES.get(name)
    base = GetAndPutView if read and write else GetView if read else PutView
    forms = {key: form for key, form in (("read", read), ("write", write)) if form}
    made = type(f"{name.title()}View", (base,), {"__doc__": f"Commands of {name}.", **forms})
    described: dict[str, Any] = {}
    if read:
        described["post"] = read.describe(f"device_{name}")
    if write:
        described["put"] = write.describe(f"device_{name}_set")
    if write and not read:
        described["post"] = write.describe(f"device_{name}")
    found: type[CommandView] = extend_schema_view(**described)(made)
    return found


COMMAND_VIEWS = {name: _view(name) for name in (*_READS, *(name for name in _WRITES if name not in _READS))}


# --- history -----------------------------------------------------------------------------------------------------------------


class HistoriesBody(SignedIn):
    """Whose history."""

    devicename = NamedDevice().fields["devicename"]
    deviceid = NamedDevice().fields["deviceid"]
    limit = serializers.IntegerField(
        required=False, default=100, min_value=1, max_value=MOST_ROWS, help_text="Rows; 100 unless given."
    )


class HistoryRow(serializers.Serializer[Any]):
    """A message."""

    devicename = serializers.CharField()
    deviceid = serializers.CharField()
    direction = serializers.ChoiceField(choices=["To", "From"])
    topic = serializers.CharField()
    payload = serializers.CharField()
    timestamp = serializers.DateTimeField(help_text="ISO 8601, UTC.")


class HistoriesAnswer(Answer):
    """What was said to and by your devices."""

    histories = HistoryRow(many=True)


class HistoriesView(SignedInView):
    """The history."""

    required_action = Action.READ

    @describe(
        "user_histories",
        "Read the history",
        takes=HistoriesBody,
        answers=HistoriesAnswer,
        sent=SENT,
        got={
            "message": "1 message.",
            "histories": [
                {
                    "devicename": "Pump",
                    "deviceid": ID,
                    "direction": "From",
                    "topic": f"server/{ID}/get_gpio",
                    "payload": '{"number": 10, "value": 0}',
                    "timestamp": "2026-01-01T12:00:00.123456Z",
                }
            ],
        },
        errors=DEVICE_ERRORS,
    )
    def post(self, request: Request) -> Response:
        """Return the newest messages of your devices, or of one, the newest first; version 1 has filters and pages."""
        taken = self.taken(request, HistoriesBody)
        wanted = selectors.MessageFilter(device_id=self._device(request, taken))
        rows = selectors.messages(user_of(request), wanted, limit=taken["limit"]).rows
        names = selectors.device_names(user_of(request), (row.device_id for row in rows))
        found = [_history_row(row, names) for row in rows]
        return answer("1 message." if len(found) == 1 else f"{len(found)} messages.", histories=found)

    get = post

    def _device(self, request: Request, taken: dict[str, Any]) -> Any:
        """Return the id of the device that is asked for, None for all; by its id it may have been deleted."""
        if "deviceid" in taken:
            key = parse_device_id(taken["deviceid"])
            if key is None or selectors.history_device(user_of(request), key) is None:
                raise Problem(404, "not_found", "No such device.")
            return key
        return find_device(request, taken, Action.READ).pk if "devicename" in taken else None


def _history_row(row: Message, names: dict[Any, selectors.Named]) -> dict[str, str]:
    device = names.get(row.device_id)
    return {
        "devicename": device.name if device else "",
        "deviceid": row.device_id.hex,
        "direction": "To" if row.direction == Direction.TO else "From",
        "topic": row.topic,
        "payload": row.payload,
        "timestamp": row.time.isoformat().replace("+00:00", "Z"),
    }
