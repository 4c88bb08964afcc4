"""The one door to claiming, for the page and the API: bounded by user and by address."""

from __future__ import annotations

from django.conf import settings

from accounts.models import User
from devices.models import Device
from devices.services import claim_device
from iotportal.throttle import count_tries, take_back


def claim(user: User, code: str, address: str) -> Device:
    """Give the device of the code to `user`, who is at `address`; only what does not work counts.

    Raises:
        ClaimRefused, NameTaken: as `claim_device`.
        Problem: 429, there were too many tries.
    """
    tries = count_tries("claim", settings.CLAIM_TRIES, {"user": str(user.pk), "address": address})
    device = claim_device(user=user, code=code)
    take_back(tries)
    return device
