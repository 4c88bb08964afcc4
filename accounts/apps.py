"""The accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Register the app."""

    name = "accounts"
