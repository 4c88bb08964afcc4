"""`/api/devices/…`: the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import Prefetch
from drf_spectacular.utils import extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Action, role_may
from accounts.api.authentication import user_of
from accounts.api.legacy.base import TOKEN, SignedIn, SignedInView
from accounts.api.permissions import reaches
from accounts.services import personal_account
from devices import services
from devices.access import AmbiguousName, access_device, access_named_device
from devices.downloads import DeviceFiles, KeyUnavailable, files_of
from devices.models import Certificate, Device, DeviceQuerySet
from devices.names import DEVICE_NAME_LENGTH
from devices.pki import KeyAlgorithm
from iotportal.legacy import answer
from iotportal.legacy_schema import DEVICE_ERRORS, Answer, Method, describe
from iotportal.problems import Problem, invalid
from iotportal.serializers import TextField

ID = "0123456789abcdef0123456789abcdef"
_WHO = {"username": "alice", "access_token": TOKEN}
SENT = {**_WHO, "devicename": "Pump"}
_PEM = "-----BEGIN CERTIFICATE-----\n…"
_KEY = "-----BEGIN PRIVATE KEY-----\n…"
_FILES = {"rootca": _PEM, "devicecert": _PEM, "devicepkey": _KEY}
_LISTED = {"devicename": "Pump", "deviceid": ID, **_FILES}
_TAKEN = {403: None, 409: ("name_taken", "You have a device of that name already.")}
_DEVICE = {**_LISTED, "device": {"name": "Pump", "id": ID, "ca": _PEM, "cert": _PEM, "pkey": _KEY}}


class NamedDevice(SignedIn):
    """Which device."""

    devicename = TextField(required=False, max_length=DEVICE_NAME_LENGTH, help_text="Upper and lower case count as the same.")
    deviceid = TextField(required=False, max_length=36, help_text="In place of the name: 32 hex digits.")


class RegisterBody(SignedIn):
    """A new device."""

    devicename = TextField(max_length=1000)  # `devices.names` says what is wrong with it
    ecc = serializers.BooleanField(required=False, default=True, help_text="A P-256 key; RSA with 2048 bits if it is false.")


class IndexBody(SignedIn):
    """Which device, counted."""

    index = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="From 0, in the order of registration.")

    def to_internal_value(self, data: Any) -> Any:
        """Refuse what is no whole number: 1.0 and "1" would pass otherwise, and true is 1 to Python."""
        if isinstance(data.get("index"), bool | float | str):
            raise serializers.ValidationError({"index": ["A whole number, without quotes."]})
        return super().to_internal_value(data)


class FilesAnswer(serializers.Serializer[Any]):
    """A device as lists show it."""

    devicename = serializers.CharField()
    deviceid = serializers.CharField(help_text="32 hex digits; the common name of the certificate.")
    rootca = serializers.CharField(help_text="PEM.")
    devicecert = serializers.CharField(allow_null=True, help_text="PEM.")
    devicepkey = serializers.CharField(
        allow_null=True, help_text="PEM; null where the portal does not keep the key, or you do not manage the device."
    )


class OldDevice(serializers.Serializer[Any]):
    """The same once more, as older clients look for it."""

    name = serializers.CharField()
    id = serializers.CharField()
    ca = serializers.CharField()
    cert = serializers.CharField(allow_null=True)
    pkey = serializers.CharField(allow_null=True)


class DeviceAnswer(FilesAnswer, Answer):
    """A device."""

    device = OldDevice()


class ListAnswer(Answer):
    """All devices."""

    devices = FilesAnswer(many=True)


class CountAnswer(Answer):
    """How many devices there are."""

    count = serializers.IntegerField()


# --- what the views share ----------------------------------------------------------------------------------------------------


def find_device(request: Request, taken: dict[str, Any], action: Action) -> Device:
    """Return the device that the body names, by name or id.

    Raises:
        Http404, PermissionDenied: as `access_device`.
        Problem: 400, it names none; 409, the name means several.
    """
    user = user_of(request)
    if "deviceid" in taken:
        return access_device(user, taken["deviceid"], action)
    if "devicename" not in taken:
        raise invalid({"devicename": ["This field is required."]})
    try:
        return access_named_device(user, taken["devicename"], action)
    except AmbiguousName as error:
        raise Problem(409, "name_ambiguous", str(error).replace("by its id", "by its id, as deviceid")) from error


def _devices(request: Request) -> DeviceQuerySet:
    """Return the caller's devices in the order of registration, each with the certificate that it is to use."""
    active = Certificate.objects.filter(status=Certificate.Status.ACTIVE)
    return Device.objects.for_user(user_of(request)).prefetch_related(Prefetch("certificates", active, to_attr="active"))


class _Keys:
    """Which private keys the caller may see: those of devices that they, and their token, manage."""

    def __init__(self, request: Request) -> None:
        roles = user_of(request).memberships.values_list("account_id", "role")
        may = reaches(request, Action.MANAGE)
        self._accounts = {account for account, role in roles if may and role_may(role, Action.MANAGE)}

    def listed(self, devices: Iterable[Device]) -> list[dict[str, object]]:
        """Return devices as lists show them."""
        return [self.one(device) for device in devices]

    def one(self, device: Device) -> dict[str, object]:
        """Return one device as lists show it."""
        active: list[Certificate] = device.active  # type: ignore[attr-defined]  # of the prefetch
        files = self._files(active[0]) if active else None
        shown = (
            {} if files is None else {"rootca": files.root_ca, "devicecert": files.certificate, "devicepkey": files.private_key}
        )
        if device.account_id not in self._accounts:
            shown["devicepkey"] = None
        texts = {name: pem.decode("ascii") if pem else None for name, pem in shown.items()}
        return {"devicename": device.name, "deviceid": device.hex, **dict.fromkeys(_FILES), **texts}

    def _files(self, certificate: Certificate) -> DeviceFiles | None:
        try:
            return files_of(certificate)
        except KeyUnavailable:  # it does not open; the log says why
            return None


def _both_ways(shown: dict[str, object]) -> dict[str, object]:
    """Return a device under its names and under the older ones."""
    olds = {"name": "devicename", "id": "deviceid", "ca": "rootca", "cert": "devicecert", "pkey": "devicepkey"}
    return {**shown, "device": {old: shown[name] for old, name in olds.items()}}


def _shown(request: Request, device: Device, message: str) -> Response:
    return answer(message, **_both_ways(_Keys(request).one(_devices(request).get(pk=device.pk))))


def _registers(operation: str) -> Callable[[Method], Method]:
    """Describe an operation that registers a device: there are three addresses for it."""
    return describe(
        operation,
        "Register a device",
        takes=RegisterBody,
        answers=DeviceAnswer,
        sent={**SENT, "ecc": True},
        got={"message": "Pump is registered.", **_DEVICE},
        errors=_TAKEN,
    )


def _reads(operation: str, summary: str) -> Callable[[Method], Method]:
    """Describe an operation that reads the device which is named."""
    return describe(
        operation,
        summary,
        takes=NamedDevice,
        answers=DeviceAnswer,
        sent=SENT,
        got={"message": "This is Pump.", **_DEVICE},
        errors=DEVICE_ERRORS,
    )


# --- the views ---------------------------------------------------------------------------------------------------------------


class RegisterView(SignedInView):
    """Register a device."""

    @_registers("register_device")
    def post(self, request: Request) -> Response:
        """Register a device in your own account; the answer has its id, certificate and private key."""
        taken = self.taken(request, RegisterBody)
        algorithm = KeyAlgorithm.EC if taken["ecc"] else KeyAlgorithm.RSA
        account = personal_account(user_of(request))
        try:
            made = services.register_device(account=account, name=taken["devicename"], key_algorithm=algorithm)
        except services.NameTaken as error:
            raise Problem(409, "name_taken", str(error), errors={"devicename": [str(error)]}) from error
        except services.InvalidName as error:
            raise invalid({"devicename": [str(error)]}) from error
        return _shown(request, made.device, f"{made.device.name} is registered.")


class UnregisterView(SignedInView):
    """Delete a device."""

    @describe(
        "unregister_device",
        "Unregister a device",
        takes=NamedDevice,
        answers=Answer,
        sent=SENT,
        got={"message": "Pump is deleted."},
        errors=DEVICE_ERRORS,
    )
    def post(self, request: Request) -> Response:
        """Revoke the device's certificate, refuse new connections and close the open one. Its history stays."""
        return _unregister(request, self.taken(request, NamedDevice))


def _unregister(request: Request, taken: dict[str, Any]) -> Response:
    device = find_device(request, taken, Action.MANAGE)
    if not services.delete_device(device=device):
        raise services.DeviceGone
    return answer(f"{device.name} is deleted.")


class ListView(SignedInView):
    """All devices."""

    required_action = Action.READ

    @describe(
        "get_device_list",
        "List your devices",
        takes=SignedIn,
        answers=ListAnswer,
        sent=_WHO,
        got={"message": "1 device.", "devices": [_LISTED]},
    )
    def post(self, request: Request) -> Response:
        """Return all devices of your accounts in the order of registration."""
        return _list(request)

    get = post


def _list(request: Request) -> Response:
    listed = _Keys(request).listed(_devices(request))
    return answer(_counted(len(listed)), devices=listed)


class CountView(SignedInView):
    """How many devices there are."""

    required_action = Action.READ

    @describe(
        "get_device_list_count",
        "Count your devices",
        takes=SignedIn,
        answers=CountAnswer,
        sent=_WHO,
        got={"message": "1 device.", "count": 1},
    )
    def post(self, request: Request) -> Response:
        """Return the number of your devices."""
        count = Device.objects.for_user(user_of(request)).count()
        return answer(_counted(count), count=count)

    get = post


def _counted(number: int) -> str:
    return "1 device." if number == 1 else f"{number:,} devices."


class IndexView(SignedInView):
    """One device, counted."""

    required_action = Action.READ

    @describe(
        "get_device_index",
        "Read the device at a place",
        takes=IndexBody,
        answers=DeviceAnswer,
        sent={**_WHO, "index": 0},
        got={"message": "This is Pump.", **_DEVICE},
        errors={404: None},
    )
    def post(self, request: Request) -> Response:
        """Return the device at this place of the list; 404 beyond its end."""
        index = self.taken(request, IndexBody)["index"]
        device = _devices(request)[index : index + 1]
        if not device:
            raise Problem(404, "not_found", "No such device.")
        return answer(f"This is {device[0].name}.", **_both_ways(_Keys(request).one(device[0])))

    get = post


@extend_schema_view(post=_registers("device_register"))
class DeviceView(RegisterView):
    """One device: POST registers, DELETE unregisters, GET and PATCH read."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Reading needs less."""
        self.required_action = Action.READ if request.method in {"GET", "PATCH"} else Action.MANAGE
        super().initial(request, *args, **kwargs)

    def delete(self, request: Request) -> Response:
        """Do as `unregister_device` does."""
        return _unregister(request, self.taken(request, NamedDevice))

    @_reads("device_read", "Read a device")
    def patch(self, request: Request) -> Response:
        """Return the device. GET with the same body does so too; DELETE with it does as `unregister_device`."""
        device = find_device(request, self.taken(request, NamedDevice), Action.READ)
        return _shown(request, device, f"This is {device.name}.")

    get = patch


@extend_schema_view(post=_registers("devices_register"))
class DevicesView(DeviceView):
    """The same, and all devices where none is named."""

    @_reads("devices_read", "Read a device, or all")
    def patch(self, request: Request) -> Response:
        """Return the device or, where none is named, what `get_device_list` does. GET and DELETE are as for `/devices/device`."""
        taken = self.taken(request, NamedDevice)
        return super().patch(request) if taken.keys() & {"devicename", "deviceid"} else _list(request)

    get = patch
