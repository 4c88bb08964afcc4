"""The accounts app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    """Register the app, and what ends with a session."""

    name = "accounts"

    def ready(self) -> None:
        """Let codes go by e-mail, end API logins with their session, log sign-ins, react to flows, keep the operators' group."""
        from allauth.account.signals import email_confirmed, user_logged_in
        from allauth.usersessions import signals
        from django.contrib.auth.signals import user_logged_out

        from accounts import audit, code_channels, exports, hooks, operators, reactions
        from accounts.headless import end_login
        from accounts.services.codes import EmailChannel

        code_channels.register(EmailChannel())
        hooks.account_exported.register(exports.add_own)
        user_logged_out.connect(end_login)
        audit.connect()
        email_confirmed.connect(reactions.on_email_confirmed)
        user_logged_in.disconnect(signals.on_user_logged_in)  # it looks up each session of theirs; our adapter does its work
        user_logged_in.connect(reactions.on_signed_in)
        operators.need(
            "accounts.view_user", "accounts.change_user", "accounts.view_account", "accounts.view_membership",
            "accounts.view_apitoken", "accounts.delete_apitoken", "usersessions.view_usersession",
            "usersessions.delete_usersession", "admin.view_logentry",
        )  # fmt: skip
        post_migrate.connect(operators.bring_up_to_date, dispatch_uid="operators")
