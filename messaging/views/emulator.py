"""The page of an emulator: a device that the portal plays, with its lamps, switches and UART."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access import Action
from accounts.http import AuthedRequest
from billing.services import emulator_time
from devices.access import access_device
from devices.downloads import active_certificate
from devices.models import Device
from devices.selectors import lamp
from messaging.emulators import orders
from messaging.emulators.board import clock_offset_s, contacts, drift_of
from messaging.forms import BoardPinForm, FaultsForm, UartLineForm
from messaging.models import Emulator, EmulatorState
from messaging.services import emulators

NOBODY = (
    "Nothing runs emulators now, so it waits. It starts by itself within seconds once that process is there again "
    "(manage.py run_emulators); if it does not, tell whoever runs this portal."
)


@login_required
@require_GET
@never_cache
def emulator_door(request: AuthedRequest) -> HttpResponse:
    """Lead to one's emulator; without one, show where to start it."""
    mine = Emulator.objects.filter(user=request.user).first()
    if mine is not None:
        return redirect("messaging:emulator", mine.device_id.hex)
    return render(request, "messaging/emulator_none.html", {"area": "emulator", "none_here": not settings.EMULATORS})


@login_required
@require_GET
@never_cache
def emulator(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Show the board, or the button that starts it."""
    return _page(request, access_device(request.user, device_id, Action.MANAGE))


@login_required
@require_POST
@never_cache
def emulator_do(request: AuthedRequest, device_id: str, name: str) -> HttpResponse:
    """Start or stop it, or touch the board. What another person started is not there."""
    device = access_device(request.user, device_id, Action.MANAGE)
    if name == "start":
        return _start(request, device)
    mine = Emulator.objects.filter(user=request.user, device=device).first()
    if mine is None or name not in {"stop", "reset", *_FORMS}:
        raise Http404("No such emulator.")
    if name == "stop":
        emulators.stop_emulator(emulator=mine)
        return redirect("messaging:emulator", device.hex)
    if name == "reset":
        return _touch(request, device, lambda: emulators.press_reset(emulator=mine))
    form = _FORMS[name](request.POST, auto_id=f"{name}-%s")
    if not form.is_valid():
        return _page(request, device, status=400, failed=form)
    return _touch(request, device, lambda: _obey(mine, form))


def _start(request: AuthedRequest, device: Device) -> HttpResponse:
    try:
        emulators.start_emulator(user=request.user, device=device)
    except emulators.CannotStart as error:
        return _page(request, device, status=409, problem=str(error))
    return redirect("messaging:emulator", device.hex)


def _obey(mine: Emulator, form: Form) -> None:
    data = form.cleaned_data
    match form:
        case BoardPinForm():
            emulators.drive_pin(emulator=mine, number=data["number"], level=data["level"])
        case UartLineForm():
            emulators.type_line(emulator=mine, line=data["line"])
        case FaultsForm():
            emulators.turn_faults(emulator=mine, faults=form.faults)


def _touch(request: AuthedRequest, device: Device, do: Callable[[], None]) -> HttpResponse:
    try:
        do()
    except orders.Refused as error:
        return _page(request, device, status=409, problem=str(error))
    except (orders.Away, redis.RedisError):
        return _page(request, device, status=503, problem=str(orders.Away()))
    return redirect("messaging:emulator", device.hex)


def _word(device: Device, running: Emulator | None) -> str:
    """Return why the device's emulator ended, or that nobody is there to start it."""
    try:
        if running is None:
            return orders.last_word(device.pk)
        starting = running.state == EmulatorState.STARTING and not running.said
        return NOBODY if starting and not orders.somebody_listens() else ""
    except redis.RedisError:  # the page has more to show
        return ""


_FORMS: dict[str, type[Form]] = {"pin": BoardPinForm, "type": UartLineForm, "faults": FaultsForm}


def _page(
    request: AuthedRequest, device: Device, *, status: int = 200, problem: str = "", failed: Form | None = None
) -> HttpResponse:
    """Render the page; `failed` is the form that could not be taken."""
    running = Emulator.objects.filter(device=device).first()
    mine = running if running is not None and running.user_id == request.user.pk else None
    problem = problem or _word(device, running)
    certificate = active_certificate(device)
    context: dict[str, object] = {
        "area": "emulator",
        "device": device,
        "lamp": lamp(device),
        "mine": mine,
        "others": running is not None and mine is None,
        "connected": lamp(device) == "on",
        "key_kept": certificate is not None and certificate.sealed_key is not None,
        "problem": problem,
        "none_here": not settings.EMULATORS,
        "time": emulator_time(device.account_id),
        "type_form": failed if isinstance(failed, UartLineForm) else UartLineForm(auto_id="type-%s"),
    }
    if mine is not None:
        lamps, switches = contacts(mine.board)
        now = timezone.now()
        now += timedelta(seconds=clock_offset_s(mine.board, drift_of(mine.faults), now.timestamp()))
        context |= {"lamps": lamps, "switches": switches, "its_time": now.astimezone(UTC), "board": mine.board}
        faults = FaultsForm(initial=FaultsForm.shown(mine.faults), auto_id="faults-%s")
        context["faults_form"] = failed if isinstance(failed, FaultsForm) else faults
    return render(request, "messaging/emulator.html", context, status=status)
