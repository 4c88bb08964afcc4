"""What people type to look into the history, and about presence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.utils import timezone

from accounts.models import User
from devices.access import parse_device_id
from devices.models import Device
from devices.profiles import API_NAME
from messaging.models import LONGEST_OFFLINE_MINUTES, Direction
from messaging.selectors import MessageFilter, account_ids
from simulators.grammar import HIGHEST_PIN

RANGES = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7), "all": None}
RANGE_WORDS = {"1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "all": "Everything"}
LONGEST_LIST = 100  # of devices to choose from; with more the field takes a name or an id


class MomentInput(forms.DateTimeInput):
    """A date and time as browsers pick them."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M:%S", attrs={"step": "1", "class": "in"})


class HistoryForm(forms.Form):
    """The filter of the history. All of it is optional; without times it is the last hour."""

    q = forms.CharField(label="Search", required=False, max_length=100, strip=False)
    device = forms.CharField(label="Device", required=False, max_length=80)
    api = forms.CharField(label="Api", required=False, max_length=64)
    direction = forms.ChoiceField(required=False, choices=Direction.choices)
    range = forms.ChoiceField(required=False, choices=list(RANGE_WORDS.items()))
    since = forms.DateTimeField(label="From", required=False, widget=MomentInput)
    until = forms.DateTimeField(label="Until", required=False, widget=MomentInput)

    def __init__(self, data: Any, *, user: User) -> None:
        super().__init__(data, auto_id="h-%s")
        self.user = user
        self.found: Device | None = None

    def clean_device(self) -> UUID | None:
        """Find the device by id or name among those whose history the user may read, deleted ones too."""
        text = self.cleaned_data["device"].strip()
        if not text:
            return None
        readable = Device.objects.filter(account_id__in=account_ids(self.user))
        key = parse_device_id(text)
        self.found = readable.filter(pk=key).first() if key else readable.filter(name__iexact=text).order_by("-deleted_at").last()
        if self.found is None:
            raise forms.ValidationError("You have no device of this name or id.")
        return self.found.pk

    def clean_api(self) -> str:
        """Refuse what no device can be asked."""
        api: str = self.cleaned_data["api"].strip()
        if api and not API_NAME.fullmatch(api):
            raise forms.ValidationError("An api is small letters, digits and _.")
        return api

    def clean_q(self) -> str:
        """Refuse what PostgreSQL's text cannot hold."""
        text: str = self.cleaned_data["q"].strip()
        if "\x00" in text:
            raise forms.ValidationError("A search has no null characters.")
        return text

    def clean(self) -> dict[str, Any]:
        """Check that the times are in order."""
        data = super().clean() or self.cleaned_data
        for name in ("since", "until"):
            if data.get(name) and not 1970 <= data[name].year <= 9000:
                self.add_error(name, "A year from 1970 on.")
                data = self.cleaned_data
        if data.get("since") and data.get("until") and data["since"] >= data["until"]:
            self.add_error("until", "This is not after From.")
        return data

    @property
    def range_key(self) -> str:
        """The range that is shown, "" where the times were given."""
        if self.cleaned_data.get("since") or self.cleaned_data.get("until"):
            return ""
        return self.cleaned_data.get("range") or "1h"

    def wanted(self, now: datetime | None = None) -> MessageFilter:
        """Return the filter of a valid form."""
        data = self.cleaned_data
        since, until = data.get("since"), data.get("until")
        if span := RANGES.get(self.range_key):
            since = (now or timezone.now()) - span
        return MessageFilter(data.get("device"), data["api"], data["direction"], since, until, data["q"])

    def devices(self) -> list[tuple[str, str]]:
        """Return id and name of the devices to choose from, none if they are too many for a list."""
        live = Device.objects.live().filter(account_id__in=account_ids(self.user))
        found = list(live.order_by("name").values_list("id", "name")[: LONGEST_LIST + 1])
        if self.found is not None and self.found.pk not in {key for key, _ in found}:
            found.append((self.found.pk, self.found.name))
        return [(key.hex, name) for key, name in found] if len(found) <= LONGEST_LIST else []


class OfflineLimitForm(forms.Form):
    """For how long a device may be offline before its owner is told; empty: for ever."""

    minutes = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=LONGEST_OFFLINE_MINUTES,
        label="Tell me when it is offline for longer than",
        help_text="minutes; leave it empty for never",
    )


class BoardPinForm(forms.Form):
    """A level put on a pin of an emulator's board."""

    number = forms.IntegerField(min_value=0, max_value=HIGHEST_PIN)
    level = forms.IntegerField(min_value=0, max_value=1)


class UartLineForm(forms.Form):
    """A line typed on an emulator's own UART."""

    line = forms.CharField(max_length=180, label="Type on the device's UART")


class FaultsForm(forms.Form):
    """What an emulator does wrong; of 100 messages, so many."""

    delay_ms = forms.IntegerField(min_value=0, max_value=10_000, label="Delay", help_text="ms")
    loss = forms.IntegerField(min_value=0, max_value=100, label="Lost", help_text="%")
    duplicate = forms.IntegerField(min_value=0, max_value=100, label="Sent twice", help_text="%")
    wrong_pin = forms.IntegerField(min_value=0, max_value=100, label="Wrong pin", help_text="%")
    malformed = forms.IntegerField(min_value=0, max_value=100, label="Broken JSON", help_text="%")
    reboot = forms.IntegerField(min_value=0, max_value=100, label="Power lost", help_text="%")
    rtc_drift_s_per_h = forms.IntegerField(min_value=-3600, max_value=3600, label="Clock drift", help_text="s an hour")

    AS_THEY_ARE = frozenset({"delay_ms", "rtc_drift_s_per_h"})  # the others are percentages

    @property
    def faults(self) -> dict[str, float]:
        """What `simulators.faults.Faults` is made with, and the clock's drift."""
        return {name: value if name in self.AS_THEY_ARE else value / 100 for name, value in self.cleaned_data.items()}

    @classmethod
    def shown(cls, faults: Mapping[str, float]) -> dict[str, int]:
        """Return what the form shows of kept faults."""
        return {name: round(faults.get(name, 0) * (1 if name in cls.AS_THEY_ARE else 100)) for name in cls.base_fields}
