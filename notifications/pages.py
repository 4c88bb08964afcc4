"""What notifications add to pages of apps on their left."""

from __future__ import annotations

from devices.selectors import DevicePage
from messaging.hooks import ControlPage
from notifications.selectors import of_device
from notifications.services import payments, standard


def fill_control(page: ControlPage) -> None:
    """Add what became of the newest that the device said."""
    page.more |= {"notified": of_device(page.device), "standard": standard.standard_of(page.device)}
    page.more["prices"] = payments.prices_in_words()


def fill_device(page: DevicePage) -> None:
    """Add the same to the device's own page."""
    page.more["notified"] = of_device(page.device)
