"""The devices app."""

from django.apps import AppConfig
from django.core.checks import Tags, register


class DevicesConfig(AppConfig):
    """Register the app, the system checks of settings and identity, and the reactions to accounts."""

    name = "devices"

    def ready(self) -> None:
        """Register the checks and reactions."""
        from accounts import operators
        from accounts.hooks import account_closed, account_exported, person_erased
        from devices import exports, hooks, reactions
        from devices.checks import check_identity, check_profiles, check_seal_key_is_random
        from devices.services import publish_soon
        from iotportal.checks import check_deployment, check_settings

        account_exported.register(exports.add_registry)
        account_closed.register(reactions.delete_devices)
        person_erased.register(reactions.erase_person)
        operators.need("devices.view_device", "devices.view_certificate", "devices.change_certificate", "devices.view_ownprofile")
        hooks.certificate_revoked.register(publish_soon)
        hooks.device_deleted.register(publish_soon)
        register(check_settings, Tags.security)
        register(check_identity, Tags.security)
        register(check_profiles)
        register(check_deployment, Tags.security, deploy=True)
        register(check_seal_key_is_random, Tags.security, deploy=True)
