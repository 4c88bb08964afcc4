"""The accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Register the app."""

    name = "accounts"

    def ready(self) -> None:
        """Let codes go by e-mail."""
        from accounts import code_channels
        from accounts.services.codes import EmailChannel

        code_channels.register(EmailChannel())
