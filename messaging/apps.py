"""The messaging app."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_migrate


def _make_partitions(**kwargs: Any) -> None:
    """Leave no freshly migrated database without room for today's messages."""
    from messaging.partitions import make_partitions

    make_partitions(settings.PARTITION_MONTHS_AHEAD)


class MessagingConfig(AppConfig):
    """Register the app, its partitions and its reactions to the registry."""

    name = "messaging"

    def ready(self) -> None:
        """Connect what messaging does when devices and tokens change."""
        from accounts.hooks import token_revoked
        from devices import hooks
        from messaging import reactions

        post_migrate.connect(_make_partitions, sender=self)
        hooks.device_registered.register(reactions.make_presence)
        hooks.device_changed.register(reactions.forget_access)
        hooks.device_deleted.register(reactions.forget_access)
        hooks.device_deleted.register(reactions.cut_connection)
        token_revoked.register(reactions.forget_token)
