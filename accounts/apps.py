"""The accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Register the app, and what ends with a session."""

    name = "accounts"

    def ready(self) -> None:
        """Let codes go by e-mail, end a login over the API with its session, and log sign-ins."""
        from django.contrib.auth.signals import user_logged_out

        from accounts import audit, code_channels
        from accounts.headless import end_login
        from accounts.services.codes import EmailChannel

        code_channels.register(EmailChannel())
        user_logged_out.connect(end_login)
        audit.connect()
