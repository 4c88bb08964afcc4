"""What messaging adds to pages of apps on its left."""

from __future__ import annotations

from django.utils import timezone

from devices.selectors import DeviceList, DevicePage
from messaging.charts import spark, strips
from messaging.forms import OfflineLimitForm
from messaging.presence import report, watching
from messaging.selectors import RoundTrips, feed_rows, recent_round_trips
from messaging.timeline import timeline

FEED = 12
LINES = 12


def fill_device_list(listed: DeviceList) -> None:
    """Add the round trips of each device, and what happened last."""
    trips = recent_round_trips([line.device.pk for line in listed.lines], timezone.now())
    for line in listed.lines:
        line.trips = spark(trips.get(line.device.pk, RoundTrips()))
    if listed.total:
        listed.feed = feed_rows(listed.user, FEED)
        listed.silent_since = watching(timezone.now()).silent_since


def fill_device(page: DevicePage) -> None:
    """Add what is known of the device's presence, and what happened to it."""
    found = report(page.device, timezone.now())
    minutes = found.presence and found.presence.offline_after_minutes
    page.more |= {
        "report": found,
        "strips": strips(found),
        "limit_form": OfflineLimitForm(initial={"minutes": minutes}, auto_id="limit-%s"),
        "lines": timeline(page.device, limit=LINES),
    }
