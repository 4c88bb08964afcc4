"""The devices app."""

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    """Register the app."""

    name = "devices"
