"""The Control page: it shows what the device said, and its tiles send commands, with and without a script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access import Action
from accounts.http import AuthedRequest
from devices import services
from devices.access import access_device
from devices.downloads import active_certificate
from devices.forms import PinNameForm
from devices.models import Device
from devices.profiles import Profile
from devices.selectors import lamp, powers, profile_of
from iotportal.problems import Problem
from iotportal.words import ms
from messaging import hooks, own_tiles, tiles
from messaging.charts import spark
from messaging.dialling import CHOICES
from messaging.gateway.core import CommandResult
from messaging.models import Command, Presence, Reading
from messaging.models import Outcome as CommandOutcome
from messaging.presence import known
from messaging.selectors import MessageFilter, RoundTrips, newest, other_devices, recent_round_trips
from messaging.services.commands import send_command
from messaging.tiles import Outcome, Outcomes, Tile
from messaging.traces import rail

TARGETS = 200  # devices to choose from as a recipient
TO_KINDS = {"email": "Email", "sms": "SMS", "device": "Device", "push": "Push", "webhook": "Webhook"}


@login_required
@require_GET
@never_cache
def control(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Show a device and everything it can be asked."""
    return page_of(request, access_device(request.user, device_id, beside=["presence"]))


@login_required
@never_cache
def tile(request: AuthedRequest, device_id: str, name: str) -> HttpResponse:
    """Send what a tile's form asks for, and show the page with the answer at that tile."""
    device = access_device(request.user, device_id, Action.CONTROL)
    found = tiles.tiles_of(profile_of(device)).get(name)
    if request.method != "POST" or found is None:
        return redirect(f"{reverse('messaging:control', args=[device.hex])}#{name if found else ''}")
    if name == "restart" and not request.POST.get("sure"):
        return render(request, "messaging/restart.html", {"area": "devices", "device": device})
    return page_of(request, device, {name: ask(request, device, found, request.POST)})


@login_required
@require_POST
def pin(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Name a pin."""
    device = access_device(request.user, device_id, Action.MANAGE)
    form = PinNameForm(request.POST)
    if form.is_valid():
        try:
            services.name_pin(device=device, **form.cleaned_data)
        except services.InvalidPin as error:
            form.add_error("number", str(error))
        else:
            return redirect(f"{reverse('messaging:control', args=[device.hex])}#gpio")
    errors = "; ".join(str(text) for texts in form.errors.values() for text in texts)
    return page_of(request, device, {"pin-name": Outcome(status=400, text=errors, values=request.POST.dict())})


def ask(request: AuthedRequest, device: Device, tile: Tile, post: QueryDict) -> Outcome:
    """Send a tile's commands one after the other, up to the first that fails."""
    outcome = Outcome(values=post.dict())
    try:
        outcome.asked = tiles.asks(tile, post.dict(), device)  # type: ignore[arg-type]  # a QueryDict's last values are text
        for position, (api, arguments) in enumerate(outcome.asked):
            try:
                outcome.results.append(send_command(user=request.user, device=device, api=api, arguments=arguments))
            except Problem as problem:
                outcome.asked = outcome.asked[: position + 1]
                return _failed(outcome, problem, device)
    except tiles.BadInput as error:
        outcome.status, outcome.errors = 400, error.errors
        return outcome
    outcome.ok, outcome.kind = True, "live"
    if outcome.results:
        last = outcome.results[-1]
        outcome.what = f"Answered in {ms(last.timeline.get('delivered'))}."
        outcome.text = "The answer was not valid JSON. Text kept." if last.text is not None else ""
        outcome.answer = last.text if last.text is not None else json.dumps(dict(last.answer), ensure_ascii=False)
    return outcome


def _failed(outcome: Outcome, problem: Problem, device: Device) -> Outcome:
    outcome.status, outcome.code, outcome.see = problem.status, problem.code, urlsplit(problem.see).path
    outcome.errors = {name: list(texts) for name, texts in problem.errors.items()}
    if not outcome.errors:
        outcome.kind, outcome.what, outcome.text = tiles.told(problem, device, outcome.asked[-1], profile_of(device))
    return outcome


def page_of(request: AuthedRequest, device: Device, outcomes: Mapping[str, Outcome] | None = None) -> HttpResponse:
    """Render the page; `outcomes` are laid over what the bridge had written when it was read."""
    outcomes = outcomes or {}
    status = next((one.status for one in outcomes.values()), 200)
    return render(request, "messaging/control.html", _context(request, device, outcomes), status=status)


def _context(request: AuthedRequest, device: Device, outcomes: Mapping[str, Outcome]) -> dict[str, object]:
    profile, now, shown = profile_of(device), timezone.now(), Outcomes(outcomes)
    found = tiles.tiles_of(profile)
    readings = {reading.key: reading for reading in device.readings.all()}
    fresh = [_as_command(device, request.user.pk, result) for one in outcomes.values() for result in one.results]
    trips = spark(recent_round_trips([device.pk], now).get(device.pk, RoundTrips()))
    context: dict[str, object] = {
        "area": "devices",
        "device": device,
        "presence": _presence(device, outcomes.get("status")),
        "known": known([device], now)[device.pk],
        "lamp": lamp(device),
        "profile": profile,
        "may": powers(request.user, device),
        "certificate": active_certificate(device, "key_algorithm", "not_after"),
        "trips": trips,
        "tiles": found,
        "outcomes": shown,
        "pin_error": shown["pin-name"],
        "traces": rail(device, fresh),
        "now": now,
        "own_tiles": [
            _own(profile, key, one, readings, shown[key]) for key, one in found.items() if key.startswith(own_tiles.PREFIX)
        ],
    }
    for key, one in found.items():
        context |= _tile_context(request, device, key, one, readings, outcomes.get(key))
    page = hooks.ControlPage(request.user, device)
    hooks.control_shown(page)
    return context | page.more


def _tile_context(
    request: AuthedRequest, device: Device, key: str, tile: Tile, readings: Mapping[str, Reading], outcome: Outcome | None
) -> dict[str, object]:
    """Return what one tile shows."""
    match key:
        case "gpio":
            return {"pins": tiles.pins(device, readings, outcome)}
        case "ethernet":
            return {"addresses": tiles.value_rows(tile, readings, outcome)}
        case "rtc":
            return {"clocks": [tiles.clock_of(row) for row in tiles.value_rows(tile, readings, outcome)]}
        case "uart":
            return {"console": tiles.console(request.user, device, tile)}
        case "notifications":
            to = (outcome.values.get("to") if outcome else None) or request.GET.get("to", "email")
            return {
                "to": to if to in TO_KINDS else "email",
                "to_kinds": TO_KINDS,
                "countries": CHOICES,
                "targets": other_devices(request.user, device, TARGETS),
            }
        case "restart":
            return {"restarted": _last_restart(request, device, tile)}
        case _:
            return {}


def _own(profile: Profile, key: str, tile: Tile, readings: Mapping[str, Reading], outcome: Outcome) -> dict[str, object]:
    """Return what a tile that the profile made shows."""
    forms = own_tiles.forms(key, tile.apis, outcome.values, outcome.errors)
    return {
        "tile": tile,
        "outcome": outcome,
        "rows": own_tiles.shown(profile, tile.apis, readings, outcome.results),
        "plain": [form for form in forms if form.api.kind == "get" and not form.inputs],
        "forms": [form for form in forms if form.api.kind != "get" or form.inputs],
    }


def _presence(device: Device, asked: Outcome | None) -> Presence | None:
    """Return the device's presence with what "Ask now" found laid over it."""
    presence = getattr(device, "presence", None)
    if presence is not None and asked is not None and (asked.ok or asked.code == "device_timeout"):
        presence.asked_at = timezone.now()
        presence.running = asked.ok
        if asked.ok:
            presence.answered_ms = asked.results[-1].timeline.get("delivered")
    return presence


def _as_command(device: Device, user_id: int, result: CommandResult) -> Command:
    """Return a result as the row that the bridge is about to write."""
    line = result.timeline
    took = timedelta(milliseconds=line.get("delivered") or 0.0)
    return Command(
        id=result.id,
        time=timezone.now() - took,
        account_id=device.account_id,
        device_id=device.pk,
        user_id=user_id,
        api=result.api,
        payload=result.payload,
        outcome=CommandOutcome.ANSWERED,
        timeout_s=5.0,
        attempts=result.attempts,
        sent_ms=line.get("sent"),
        broker_ms=line.get("broker"),
        answered_ms=line.get("answered"),
        delivered_ms=line.get("delivered"),
    )


def _last_restart(request: AuthedRequest, device: Device, tile: Tile) -> dict[str, object] | None:
    """Return when the device was last restarted and how long it was away, where that is known."""
    api = tile.set or tile.apis[0]
    found = newest(Command, request.user, MessageFilter(device_id=device.pk, api=api.name), limit=1, scan=tiles.LOOK_BACK)
    if not found:
        return None
    last = found[0]
    presence = getattr(device, "presence", None)
    gone, back = (presence.disconnected_at, presence.connected_at) if presence else (None, None)
    away = (back - gone).total_seconds() if gone and back and last.time <= gone < back else None
    return {"at": last.time, "away_s": away, "answered": last.outcome == CommandOutcome.ANSWERED}
