"""The notifications app."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Register the app and its reactions to what happens on the left."""

    name = "notifications"

    def ready(self) -> None:
        """Connect what is said to whom when something happens."""
        from django.conf import settings

        from accounts import code_channels, operators
        from accounts.hooks import account_exported, signed_in_from_new_place
        from billing.hooks import balance_low
        from devices.hooks import certificate_expiring, device_deleted, device_moving, device_shown
        from messaging.hooks import (
            commands_failed,
            control_shown,
            device_back,
            device_offline,
            devices_spoke,
            notifications_requested,
        )
        from notifications import exports, pages, reactions
        from notifications.services import rules, standard

        notifications_requested.register(reactions.on_requests)
        account_exported.register(exports.add_notifications)
        devices_spoke.register(rules.notice)
        commands_failed.register(rules.notice_failures)
        signed_in_from_new_place.register(reactions.on_new_place)
        device_moving.register(rules.leave)
        device_moving.register(standard.leave)
        device_deleted.register(rules.leave)
        device_offline.register(reactions.on_offline)
        device_back.register(reactions.on_back)
        certificate_expiring.register(reactions.on_expiring)
        balance_low.register(reactions.on_low_balance)
        control_shown.register(pages.fill_control)
        device_shown.register(pages.fill_device)
        operators.need(
            "notifications.view_notification", "notifications.view_suppression", "notifications.add_suppression",
            "notifications.delete_suppression", "notifications.view_recipient", "notifications.view_rule",
            "notifications.view_senderhealth", "notifications.view_tariff", "notifications.add_tariff",
            "notifications.change_tariff", "notifications.delete_tariff", "notifications.view_template",
            "notifications.add_template", "notifications.change_template", "notifications.delete_template",
        )  # fmt: skip
        if settings.SENDERS.sms:
            from notifications.codes import SmsCodes

            code_channels.register(SmsCodes())
