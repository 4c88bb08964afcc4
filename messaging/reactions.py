"""What messaging does when accounts and devices change.

Everything that leaves the database leaves after the commit and may fail without undoing it (`robust`): what Valkey remembers ends
by itself within a minute, and the broker asks the registry again about everybody who is connected.
"""

from __future__ import annotations

from accounts.hooks import Departure, MembershipChange
from accounts.models import Membership, User
from billing.models import Order
from devices.hooks import RevokedSecret
from devices.models import Certificate, Device, DeviceEvent, OwnProfile
from iotportal.after_commit import after_commit
from messaging import cache, events
from messaging.authorization import PASSWORD
from messaging.models import Presence, PresenceChange, Reading
from messaging.services import erasure
from messaging.timeline import line_of


def make_presence(device: Device) -> None:
    """Give a new device its presence: not heard yet."""
    Presence.objects.create(device=device)
    after_commit(cache.presume_offline, device.hex)
    _tell_pages(device, "registered")


def tell_change(device: Device) -> None:
    """Show a new name in open pages."""
    _tell_pages(device, "renamed")


def tell_deletion(device: Device) -> None:
    """Take a deleted device from open pages."""
    _tell_pages(device, "deleted")


def tell_timeline(event: DeviceEvent) -> None:
    """Show a new line of a device's timeline in open pages."""
    line, device = line_of(event), event.device
    about = events.timeline_event(
        id=line.id, time=line.time, device_id=device.id, event=line.kind, what=line.what, more=line.more
    )
    events.publish_on_commit(device.account_id, device.id, about)


def tell_order(order: Order) -> None:
    """Have the page that waits for a payment look again."""
    outbox = events.Outbox()
    event = events.order_event(account_id=order.account_id, order_id=order.pk, status=order.status)
    outbox.add_to_account(order.account_id, event)
    after_commit(outbox.send)


def _tell_pages(device: Device, change: events.Change) -> None:
    event = events.device_event(device_id=device.id, change=change, name=device.name)
    events.publish_on_commit(device.account_id, device.id, event)


def forget_access(device: Device) -> None:
    """Make every process look the device up again: it was renamed, re-profiled or deleted."""
    users = list(Membership.objects.filter(account_id=device.account_id).values_list("user_id", flat=True))
    after_commit(cache.forget_access, device.hex, users)


def follow_membership(change: MembershipChange) -> None:
    """Let a new role, or the end of a membership, bite at once: for commands under way to the portal, and in open pages."""
    devices = Device.objects.live().filter(account_id=change.account_id).values_list("id", flat=True)
    keys = [cache.access_key(change.user_id, device.hex) for device in devices]
    after_commit(cache.bury, keys)
    after_commit(events.review_access, change.user_id, change.account_id)


def leave_account(device: Device) -> None:
    """Take a device that another account gets from those who had it: their commands, at once, and their open pages."""
    forget_access(device)
    _tell_pages(device, "deleted")
    for user_id in Membership.objects.filter(account_id=device.account_id).values_list("user_id", flat=True):
        after_commit(events.review_access, user_id, device.account_id)


def join_account(device: Device) -> None:
    """Show a device that came from another account to those who have it now; what it last said was said to the others."""
    device.readings.all().delete()
    _forget_presence(device)
    forget_access(device)
    _tell_pages(device, "registered")


def _forget_presence(device: Device) -> None:
    """Forget what a device answered, where it was and what its owner wanted to be told; the connection that it has stays."""
    of_device = Presence.objects.filter(device=device)
    of_device.update(
        address=None, refused_at=None, refused_reason="", last_message_at=None, running=None, asked_at=None, answered_ms=None,
        last_answer_at=None, last_answer_api="", last_answer_ms=None, offline_after_minutes=None, offline_told_at=None,
    )  # fmt: skip
    of_device.filter(connected=False).update(connected_at=None, disconnected_at=None, disconnect_reason="")


def forget_profile(profile: OwnProfile) -> None:
    """Make every process ask which version of the profile is in force."""
    after_commit(cache.forget_profile, profile.hex)


def forget_token(token_hash: str) -> None:
    """Make a revoked token dead for the hot path too."""
    after_commit(cache.forget_token, token_hash)


def cut_deleted(device: Device) -> None:
    """Close the connection of a device that was deleted, now."""
    _cut(device, "deleted")


def cut_revoked(certificate: Certificate) -> None:
    """Close the connection that was made with a revoked certificate, now; one made with its successor stays."""
    _cut(certificate.device, "revoked", certificate.fingerprint)


def cut_password(revoked: RevokedSecret) -> None:
    """Close the connection that was made with a device's earlier password, now."""
    _cut(revoked.device, "revoked", PASSWORD + revoked.secret_hash)


def _cut(device: Device, cause: str, fingerprint: str = "") -> None:
    after_commit(cache.ask_broker_to_disconnect, device.hex, cause, fingerprint)


def end_user(user: User) -> None:
    """End the open pages of a user who may not go on, and forget which devices were theirs to use."""
    devices = Device.objects.live().filter(account__memberships__user=user).values_list("id", flat=True)
    keys = [cache.access_key(user.pk, device.hex) for device in devices]
    after_commit(cache.bury, keys)
    after_commit(events.end_pages, events.user_group(user.pk))


def end_session(key: str) -> None:
    """End the open pages of a session that signed out or was ended from another browser."""
    after_commit(events.end_pages, events.session_group(key))


def erase_person(departure: Departure) -> None:
    """Erase the history of a person's own devices, and from where they connected."""
    erasure.erase_history(account_id=departure.account.pk)
    theirs = Device.objects.filter(account=departure.account)
    Reading.objects.filter(device__in=theirs).delete()
    PresenceChange.objects.filter(device__in=theirs).delete()
    Presence.objects.filter(device__in=theirs).update(address=None)
