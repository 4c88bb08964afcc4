"""The addresses of Control and History."""

from django.urls import path

import devices.converters  # noqa: F401  # makes <device:…> known
from messaging.views.control import control, pin, tile
from messaging.views.export import export
from messaging.views.history import history

app_name = "messaging"

urlpatterns = [
    path("devices/<device:device_id>/control/", control, name="control"),
    path("devices/<device:device_id>/control/pins/", pin, name="pin"),
    path("devices/<device:device_id>/control/<slug:name>/", tile, name="tile"),
    path("history/", history, name="history"),
    path("history/export/", export, name="export"),
]
