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
        from accounts import operators
        from accounts.hooks import (
            account_exported,
            membership_changed,
            password_changed,
            person_erased,
            session_ended,
            token_revoked,
            user_deactivated,
        )
        from billing.hooks import order_changed
        from devices import hooks
        from messaging import exports, pages, reactions

        post_migrate.connect(_make_partitions, sender=self)
        hooks.device_registered.register(reactions.make_presence)
        hooks.device_registered.register(reactions.forget_access)
        hooks.device_changed.register(reactions.forget_access)
        hooks.device_changed.register(reactions.tell_change)
        hooks.profile_changed.register(reactions.forget_profile)
        hooks.device_deleted.register(reactions.forget_access)
        hooks.device_deleted.register(reactions.tell_deletion)
        hooks.device_deleted.register(reactions.cut_deleted)
        hooks.certificate_revoked.register(reactions.cut_revoked)
        hooks.secret_revoked.register(reactions.cut_password)
        hooks.device_event_recorded.register(reactions.tell_timeline)
        hooks.device_moving.register(reactions.leave_account)
        hooks.device_moved.register(reactions.join_account)
        hooks.device_list_shown.register(pages.fill_device_list)
        hooks.device_shown.register(pages.fill_device)
        membership_changed.register(reactions.follow_membership)
        account_exported.register(exports.add_history)
        person_erased.register(reactions.erase_person)
        order_changed.register(reactions.tell_order)
        token_revoked.register(reactions.forget_token)
        user_deactivated.register(reactions.end_user)
        operators.need("messaging.view_presence", "messaging.change_presence")
        password_changed.register(reactions.end_user)
        session_ended.register(reactions.end_session)
