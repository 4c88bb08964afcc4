"""The addresses of Control and History."""

from django.urls import path

import devices.converters  # noqa: F401  # makes <device:…> known
from messaging.views.control import control, pin, tile
from messaging.views.emulator import emulator, emulator_do, emulator_door
from messaging.views.export import export
from messaging.views.history import history
from messaging.views.presence import offline_limit, timeline_page

app_name = "messaging"

urlpatterns = [
    path("devices/<device:device_id>/control/", control, name="control"),
    path("devices/<device:device_id>/control/pins/", pin, name="pin"),
    path("devices/<device:device_id>/control/<slug:name>/", tile, name="tile"),
    path("devices/<device:device_id>/timeline/", timeline_page, name="timeline"),
    path("devices/<device:device_id>/offline/", offline_limit, name="offline_limit"),
    path("devices/<device:device_id>/emulator/", emulator, name="emulator"),
    path("devices/<device:device_id>/emulator/<slug:name>/", emulator_do, name="emulator_do"),
    path("emulator/", emulator_door, name="emulator_door"),
    path("history/", history, name="history"),
    path("history/export/", export, name="export"),
]
