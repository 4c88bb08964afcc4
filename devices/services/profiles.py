"""Describing kinds of devices of one's own: make, save, delete; and which kinds an account's devices may have."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Account, User
from devices import hooks
from devices.models import Device, OwnProfile, ProfileVersion
from devices.profile_check import checked_profile
from devices.profile_documents import free_slug, from_stored, in_order, to_stored
from devices.profiles import SLUG, UnknownProfile, all_profiles, get_profile
from devices.services.errors import ProfileChanged, ProfileGone, ProfileInUse, SlugTaken, TooManyProfiles

logger = logging.getLogger(__name__)

PROFILES_PER_ACCOUNT = 50
VERSIONS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Kind:
    """What a device of an account can be: a shipped profile, or with `own_id` one of the account's own."""

    slug: str
    own_id: UUID | None = None


def kind_of(account: Account, slug: str) -> Kind:
    """Return the kind that an account calls `slug`; its own comes first, so that no new shipped one takes its place.

    Raises:
        UnknownProfile: there is none, or it is another account's.
    """
    if not SLUG.fullmatch(slug):
        raise UnknownProfile(slug[:100])
    own_id = OwnProfile.objects.filter(account=account, slug=slug).values_list("pk", flat=True).first()
    return Kind(slug, own_id) if own_id is not None else Kind(get_profile(slug).slug)


def make_profile(
    *, account: Account, name: str, document: Mapping[str, Any], by: User | None = None, slug: str | None = None
) -> OwnProfile:
    """Make an own profile of `account` from a document, whose name and slug are replaced by these.

    `slug`: what devices and the API call it; made of the name if not given. It can never be changed, and no shipped one has it.

    Raises:
        InvalidProfile: the document is no profile, or the name cannot be had.
        SlugTaken: the account has one of that slug, or it is a shipped one's.
        TooManyProfiles: the account has `PROFILES_PER_ACCOUNT`.
    """
    try:
        with transaction.atomic():
            Account.objects.select_for_update(no_key=True).get(pk=account.pk)  # of two at once, the second sees the first
            taken = list(OwnProfile.objects.filter(account=account).values_list("slug", flat=True))
            if len(taken) >= PROFILES_PER_ACCOUNT:
                raise TooManyProfiles
            slug = slug or free_slug(name, taken)
            if slug in taken or slug in {profile.slug for profile in all_profiles()}:
                raise SlugTaken(slug)
            document = _checked({**document, "name": name, "slug": slug}, slug)
            profile = OwnProfile.objects.create(account=account, slug=slug, name=document["name"])
            _write(profile, document, by)
    except IntegrityError as error:
        raise SlugTaken(slug or "") from error
    logger.info("own profile %s made in account %s", profile.hex, account.pk)
    return profile


def save_profile(
    *, profile: OwnProfile, document: Mapping[str, Any], by: User | None = None, based_on: int | None = None
) -> OwnProfile:
    """Save a new version of an own profile; calls `hooks.profile_changed`. Its devices are treated by it from the commit on.

    `based_on`: the version that the document was made from; if another was saved since, nothing is. The same document again
    makes no new version. `VERSIONS_KEPT` versions are kept.

    Raises:
        InvalidProfile: the document is no profile.
        ProfileChanged: somebody saved another version in the meantime.
        ProfileGone: it was deleted.
    """
    document = _checked({**document, "slug": document.get("slug", profile.slug)}, profile.slug)
    with transaction.atomic():
        current = OwnProfile.objects.select_for_update().filter(pk=profile.pk).first()
        if current is None:
            raise ProfileGone
        if based_on is not None and based_on != current.version:
            raise ProfileChanged(current.version)
        if document != document_of(current):
            current.version += 1
            current.name, current.changed_at = document["name"], timezone.now()
            current.save(update_fields=["version", "name", "changed_at"])
            _write(current, document, by)
            current.versions.filter(number__lte=current.version - VERSIONS_KEPT).delete()
            hooks.profile_changed(current)
    logger.info("own profile %s saved as version %s", current.hex, current.version)
    return current


def delete_profile(*, profile: OwnProfile) -> None:
    """Delete an own profile with all its versions. Twice is once.

    Raises:
        ProfileInUse: devices have it.
    """
    try:
        with transaction.atomic():
            # A device that gets it now waits for this lock in its commit, and then finds it gone; one that has it already counts.
            OwnProfile.objects.select_for_update().filter(pk=profile.pk).first()
            devices = Device.objects.filter(own_profile=profile)
            number = devices.live().count()
            if number:
                raise ProfileInUse(number)
            devices.update(own_profile=None)  # deleted ones keep their history, and the slug in it
            OwnProfile.objects.filter(pk=profile.pk).delete()
            hooks.profile_changed(profile)
    except IntegrityError as error:  # a device got it between the look and the commit
        raise ProfileInUse(1) from error
    logger.info("own profile %s deleted", profile.hex)


def document_of(profile: OwnProfile, number: int | None = None) -> dict[str, Any]:
    """Return the document of a version, the newest unless `number` is given. Raises ProfileGone: it is not kept."""
    version = profile.versions.filter(number=number or profile.version).first()
    if version is None:
        raise ProfileGone
    return from_stored(version.document)


def _checked(document: Mapping[str, Any], slug: str) -> dict[str, Any]:
    """Return the document in its own order. Raises InvalidProfile."""
    whole = {key: value for key, value in document.items() if key != "$schema"}
    checked_profile(whole, slug=slug)
    return in_order(whole)


def _write(profile: OwnProfile, document: Mapping[str, Any], by: User | None) -> None:
    ProfileVersion.objects.create(profile=profile, number=profile.version, document=to_stored(document), saved_by=by)
