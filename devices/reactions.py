"""What the registry does when accounts change."""

from __future__ import annotations

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import F, Func, JSONField, Value

from accounts.hooks import Departure
from accounts.models import Account
from devices.models import Certificate, Device, DeviceEvent, OwnProfile, Pin
from devices.services import delete_device


def delete_devices(account: Account) -> None:
    """Delete every device of an account that is being closed: certificates revoked, connections cut."""
    for device in Device.objects.live().filter(account=account):
        delete_device(device=device)


@transaction.atomic
def erase_person(departure: Departure) -> None:
    """Erase what a person called things and did. Rows of devices stay without names, so that revoked certificates stay known."""
    theirs = Device.objects.filter(account=departure.account)
    kept = [str(pk) for pk in Certificate.objects.filter(device__in=theirs).values_list("pk", flat=True)]
    kind = ContentType.objects.get_for_model(Certificate)
    LogEntry.objects.filter(content_type=kind, object_id__in=kept).update(object_repr="deleted")  # what operators did to them
    Pin.objects.filter(device__in=theirs).delete()
    DeviceEvent.objects.filter(device__in=theirs).delete()
    theirs.update(name="deleted", profile="standard", own_profile=None)
    OwnProfile.objects.filter(account=departure.account).delete()
    nobody = Func(
        F("detail"), Value("{by}"), Value("a former member", JSONField()), function="jsonb_set", output_field=JSONField()
    )
    DeviceEvent.objects.filter(detail__by=departure.user.username).update(detail=nobody)  # in organisations
