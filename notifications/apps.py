"""The notifications app."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Register the app and its reactions to what happens on the left."""

    name = "notifications"

    def ready(self) -> None:
        """Connect what is said to whom when something happens."""
        from devices.hooks import device_shown
        from messaging.hooks import control_shown, notification_requested
        from notifications import pages, reactions

        notification_requested.register(reactions.on_request)
        control_shown.register(pages.fill_control)
        device_shown.register(pages.fill_device)
