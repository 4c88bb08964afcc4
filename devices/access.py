"""The one door to a device: nobody gets one without the question "may this user?"."""

from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404

from accounts.access import Action, role_may
from accounts.models import Membership, User
from devices.models import Device

__all__ = ["Action", "access_device", "parse_device_id"]


def parse_device_id(value: str) -> UUID | None:
    """Return the id that a URL or topic spells as 32 hex digits (hyphens are taken too), or None."""
    try:
        return UUID(hex=value) if len(value) in {32, 36} else None
    except ValueError:
        return None


def access_device(user: User, device_id: UUID | str, action: Action = Action.READ) -> Device:
    """Return the live device if `user` may do `action` with it.

    Raises:
        Http404: there is no such device, or it is another's; both look the same.
        PermissionDenied: the user may see it, but not do this.
    """
    key = parse_device_id(device_id) if isinstance(device_id, str) else device_id
    device = Device.objects.live().select_related("account").filter(pk=key).first() if key else None
    if device is None:
        raise Http404("No such device.")
    role = Membership.objects.filter(user=user, account_id=device.account_id).values_list("role", flat=True).first()
    if role is None:
        raise Http404("No such device.")
    if not role_may(role, action):
        raise PermissionDenied("Your role in this account does not allow that.")
    return device
