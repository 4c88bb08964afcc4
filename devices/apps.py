"""The devices app."""

from django.apps import AppConfig
from django.core.checks import Tags, register


class DevicesConfig(AppConfig):
    """Register the app, and the system checks of settings and identity."""

    name = "devices"

    def ready(self) -> None:
        """Register the checks."""
        from devices.checks import check_identity, check_profiles, check_seal_key_is_random
        from iotportal.checks import check_deployment, check_settings

        register(check_settings, Tags.security)
        register(check_identity, Tags.security)
        register(check_profiles)
        register(check_deployment, Tags.security, deploy=True)
        register(check_seal_key_is_random, Tags.security, deploy=True)
