"""What messaging adds to pages of apps on its left."""

from __future__ import annotations

from django.utils import timezone

from devices.selectors import DeviceList
from messaging.charts import spark
from messaging.selectors import MessageFilter, RoundTrips, history_rows, messages, recent_round_trips

FEED = 12


def fill_device_list(listed: DeviceList) -> None:
    """Add the round trips of each device, and what happened last."""
    trips = recent_round_trips([line.device.pk for line in listed.lines], timezone.now())
    for line in listed.lines:
        line.trips = spark(trips.get(line.device.pk, RoundTrips()))
    if listed.total:
        listed.feed = history_rows(messages(listed.user, MessageFilter(), limit=FEED).rows)
