"""The accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Register the app, and what ends with a session."""

    name = "accounts"

    def ready(self) -> None:
        """Let codes go by e-mail, end a login over the API with its session, log sign-ins, and react to allauth's flows."""
        from allauth.account.signals import email_confirmed, user_logged_in
        from django.contrib.auth.signals import user_logged_out

        from accounts import audit, code_channels, exports, hooks, reactions
        from accounts.headless import end_login
        from accounts.services.codes import EmailChannel

        code_channels.register(EmailChannel())
        hooks.account_exported.register(exports.add_own)
        user_logged_out.connect(end_login)
        audit.connect()
        email_confirmed.connect(reactions.on_email_confirmed)
        user_logged_in.connect(reactions.on_signed_in)
