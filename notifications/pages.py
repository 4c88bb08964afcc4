"""What notifications add to pages of apps on their left."""

from __future__ import annotations

from devices.selectors import DevicePage
from messaging.hooks import ControlPage
from notifications.selectors import of_device
from notifications.services import browsers, named, payments, standard


def fill_control(page: ControlPage) -> None:
    """Add what became of the newest that the device said, to what besides addresses it could write, and what that costs."""
    device = page.device
    page.more |= {
        "notified": of_device(device, page.user),
        "standard": standard.standard_of(device),
        "prices": payments.prices_in_words(),
        "named": [(one.spelled, f"{one.address} ({one.host})") for one in named.of_account(device.account_id)],
        "pushed": browsers.of(device.account_id.hex).count(),
    }


def fill_device(page: DevicePage) -> None:
    """Add the same to the device's own page."""
    page.more["notified"] = of_device(page.device, page.user)
