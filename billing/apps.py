"""The billing app."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Register the app."""

    name = "billing"
