"""Publishing what was revoked, and retiring issuing CAs that have nothing good left."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.core.cache import cache
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from devices import pki
from devices.models import Certificate, RevocationList
from iotportal.after_commit import after_commit

logger = logging.getLogger(__name__)

# So long after its end a certificate may still be let in again by its owner, for which its issuing CA must be known.
RESCUABLE = timedelta(days=30)


def publish_lists() -> int:
    """Sign a new revocation list for each issuing CA whose certificates are let in; return how many.

    Raises:
        devices.pki.PkiError: the authority is not usable.
    """
    authorities = [pki.authority(), *pki.earlier_authorities()]
    for authority in authorities:
        _publish(authority)
    return len(authorities)


def publish_soon(_subject: object = None) -> None:
    """Have the lists made anew after the commit, once for all that is revoked within a second."""
    after_commit(_ask_for_lists)


def _ask_for_lists() -> None:
    from devices.tasks import publish_revocation_lists  # tasks call services

    if cache.add("revocation-lists-wanted", True, timeout=1):
        publish_revocation_lists.apply_async(countdown=1)


def _publish(authority: pki.Authority, *, last: bool = False) -> None:
    """Sign and store the list of one CA; its number goes up with each (RFC 5280, 5.2.3)."""
    now = timezone.now().replace(microsecond=0)
    with transaction.atomic():
        blank = {"der": b"", "this_update": now, "next_update": now}
        listed, _ = RevocationList.objects.select_for_update().get_or_create(issuer=authority.id, defaults=blank)
        revoked = Certificate.objects.filter(issuer=authority.id, status=Certificate.Status.REVOKED, not_after__gt=now)
        rows = revoked.order_by("revoked_at").only("serial", "revoked_at", "revocation_reason")
        entries = [pki.Entry(int(row.serial, 16), row.revoked_at or now, row.revocation_reason) for row in rows]
        listed.number += 1
        made = pki.make_crl(authority, entries, listed.number, now, last=last)
        listed.der, listed.this_update, listed.next_update = made.der, made.this_update, made.next_update
        listed.save()


def retire_authorities() -> list[str]:
    """Retire the earlier issuing CAs of which no certificate is good any more; return their key identifiers.

    Each publishes a last list that is good until the CA's own end, because its key is destroyed then.
    """
    now = timezone.now()
    good = Q(not_after__gt=now - RESCUABLE) | Q(rescued_until__gt=now)
    standing = Certificate.objects.filter(good, device__deleted_at=None).exclude(status=Certificate.Status.REVOKED)
    live = set(standing.values_list("issuer", flat=True).distinct())
    for authority in pki.earlier_authorities():
        if authority.id not in live:
            _publish(authority, last=True)
    retired = [authority.id for authority in pki.retire(live)]
    for key_id in retired:
        logger.info("issuing CA %s retired: none of its certificates is good any more", key_id)
    return retired
