"""The browsers that people let the portal push to: switching one on, finding those of an account, and forgetting one."""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Collection, Iterable
from uuid import UUID, uuid4

import requests
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from accounts.models import Membership, Role, User
from iotportal import outward
from notifications.models import Browser

PER_USER = 20
_NAMED = 3  # of a person's browsers
_AUTH_BYTES = 16  # RFC 8291, 3.2


class BrowserRefused(Exception):
    """A browser that cannot be pushed to. The text says why."""


def add(*, user: User, endpoint: str, p256dh: str, auth: str, name: str) -> Browser:
    """Keep what a browser's `PushSubscription` says; said again by the same browser, it is the same one, and its present user's.

    Raises:
        BrowserRefused: its push service is no address that is sent to, its keys are none, or there are too many.
    """
    if len(endpoint) > 1000:
        raise BrowserRefused("The address of the browser's push service is too long.")
    try:
        outward.check_url(endpoint)
    except outward.NotAllowed as error:
        raise BrowserRefused(f"The browser's push service cannot be reached. {error}") from error
    _check_keys(p256dh, auth)
    values = {"user": user, "p256dh": p256dh, "auth": auth, "name": name[:60] or "A browser"}
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)  # two at once are counted one after the other
        found = Browser.objects.select_for_update().filter(endpoint=endpoint).first()
        if found is not None:
            if (found.p256dh, found.auth) != (p256dh, auth):  # only the browser itself knows both
                raise BrowserRefused(
                    "That browser is switched on with other keys. Take its permission back, then switch it on again."
                )
            found.user, found.name = user, str(values["name"])
            found.save(update_fields=["user", "name"])
            return found
        if Browser.objects.filter(user=user).count() >= PER_USER:
            raise BrowserRefused(f"{PER_USER} browsers are switched on. Remove one first.")
        try:
            with transaction.atomic():
                return Browser.objects.create(endpoint=endpoint, **values)
        except IntegrityError as error:
            raise BrowserRefused("That browser was switched on a moment ago.") from error


def _check_keys(p256dh: str, auth: str) -> None:
    try:
        point, secret = (base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) for text in (p256dh, auth))
        if not p256dh.isascii() or len(p256dh) > 100 or len(auth) > 32 or len(secret) != _AUTH_BYTES:
            raise BrowserRefused("The browser's keys are none.")
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except (ValueError, binascii.Error) as error:
        raise BrowserRefused("The browser's keys are none.") from error


def add_catcher(*, user: User) -> Browser:
    """Switch on the push service of `make run`, which shows what it gets.

    Raises:
        BrowserRefused: this portal has none, or it does not answer.
    """
    if not settings.PUSH_CATCHER:
        raise BrowserRefused("This portal has no push catcher.")
    try:
        with outward.session() as session:
            keys = session.get(f"{settings.PUSH_CATCHER}/keys.json").json()
    except (requests.RequestException, outward.NotAllowed) as error:
        raise BrowserRefused("The push catcher does not answer.") from error
    return add(
        user=user, endpoint=f"{settings.PUSH_CATCHER}/{uuid4().hex}", p256dh=str(keys["p256dh"]), auth=str(keys["auth"]),
        name="The catcher of this machine",
    )  # fmt: skip


def remove(*, user: User, browser_id: UUID) -> bool:
    """Forget one of somebody's browsers; False if it is not theirs."""
    return bool(Browser.objects.filter(user=user, pk=browser_id).delete()[0])


def gone(browser: Browser) -> None:
    """Forget one whose push service says that it is no more."""
    Browser.objects.filter(pk=browser.pk).delete()


def pushed(browser: Browser) -> None:
    """Note that its push service took something."""
    Browser.objects.filter(pk=browser.pk).update(pushed_at=timezone.now())


_BEHIND = """
    SELECT id FROM accounts_user WHERE uuid = %s AND is_active UNION
    SELECT owner.id FROM accounts_membership member JOIN accounts_user owner ON owner.id = member.user_id
    WHERE member.account_id = %s AND member.role = %s AND owner.is_active
"""  # two looks at an index, where an OR of both would look at everybody


def of(address: str) -> QuerySet[Browser]:
    """Return the browsers behind a push address: those of an account's owners, or of one person."""
    key = UUID(hex=address)
    people = RawSQL(_BEHIND, [key, key, Role.OWNER.value])  # noqa: S611  # made of constants
    return Browser.objects.filter(user__in=people)


def places(asked: Iterable[tuple[UUID, str]]) -> set[tuple[UUID, str]]:
    """Return which of the pairs of account and push address are the account's own: itself, or one of its people."""
    people = {(account, address) for account, address in asked if address != account.hex}
    found = {(account, address) for account, address in asked if address == account.hex}
    if people:
        rows = Membership.objects.filter(
            account__in={one[0] for one in people}, user__uuid__in=[UUID(hex=one[1]) for one in people]
        )
        members = {(account, user.hex) for account, user in rows.values_list("account", "user__uuid")}
        found |= people & members
    return found


def in_words(reader: User, asked: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], str]:
    """Return what pairs of account and push address are called for who reads it: their own browsers by name, others' by whose."""
    if not asked:
        return {}
    owners: dict[UUID, set[UUID]] = defaultdict(set)
    people: dict[tuple[UUID, str], str] = {}
    rows = Membership.objects.filter(account__in={account for account, _ in asked}).filter(
        Q(role=Role.OWNER) | Q(user__uuid__in={UUID(hex=address) for _, address in asked})
    )
    for account, role, key, name in rows.values_list("account", "role", "user__uuid", "user__username"):
        people[account, key.hex] = f"{name}’s browsers"
        if role == Role.OWNER:
            owners[account].add(key)
    own = _names(reader)

    def words(account: UUID, address: str) -> str:
        if address == reader.uuid.hex or (address == account.hex and owners[account] == {reader.uuid}):
            return own
        return "the owners’ browsers" if address == account.hex else people.get((account, address), "somebody’s browsers")

    return {one: words(*one) for one in asked}


def _names(user: User) -> str:
    """Name a person's browsers to themselves."""
    names = list(dict.fromkeys(user.browsers.values_list("name", flat=True)))
    if len(names) > _NAMED:
        names[_NAMED - 1 :] = [f"{len(names) - _NAMED + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "your browsers"
