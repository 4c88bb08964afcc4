"""People and what they own.

A **User** signs in. An **Account** owns things: every device, message and credit belongs to exactly one account. Each user
has a personal account from sign-up on; an organisation is an account with more members. A **Membership** says what a user
may do in an account:

    viewer    sees devices and history
    operator  … and sends commands
    admin     … and registers, renames and deletes devices, invites members
    owner     … and deletes the account; at least one per account

An **Invitation** offers one address a role in an organisation; it ends when it is taken, withdrawn or too old.

An **ApiToken** lets a program act as its user. Only its SHA-256 is stored: the token has 256 random bits, so a slow hash
would add nothing but time. There are two kinds: a *personal* token is made and named by its user and reaches as far as its
scopes; a *login* token is what signing in over the API returns: it is short-lived, renewed with a refresh token that works
once, and may do all its user may.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone


class User(AbstractUser):
    """A person who signs in with user name or e-mail."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    first_name = models.CharField("first name", max_length=150)
    last_name = models.CharField("last name", max_length=150)
    email = models.EmailField("e-mail", max_length=254)
    phone = models.CharField(max_length=16, blank=True, default="")  # E.164
    phone_verified = models.BooleanField(default=False)
    time_zone = models.CharField(max_length=64, default="UTC")
    language = models.CharField(max_length=12, default="en")
    theme = models.CharField(
        max_length=8, choices=[("", "As the system"), ("light", "Light"), ("dark", "Dark")], blank=True, default=""
    )

    code_factor = models.CharField(  # a second factor beside or in place of an app and passkeys: a code that is sent
        max_length=5, choices=[("", "No code"), ("email", "Code by e-mail"), ("sms", "Code by SMS")], blank=True, default=""
    )
    delete_at = models.DateTimeField(null=True, blank=True, editable=False)  # the end of the grace period after "Delete account"

    class Meta(AbstractUser.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                Lower("username"), name="user_username_unique", violation_error_message="That user name is taken."
            ),
            models.UniqueConstraint(Lower("email"), name="user_email_unique"),
            models.CheckConstraint(condition=Q(code_factor__in=["", "email", "sms"]), name="user_code_factor_known"),
            models.CheckConstraint(
                condition=~Q(code_factor="sms") | Q(phone_verified=True), name="user_code_factor_sms_needs_phone"
            ),
            models.CheckConstraint(condition=Q(phone_verified=False) | ~Q(phone=""), name="user_phone_verified_is_given"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["delete_at"], name="user_to_delete", condition=Q(delete_at__isnull=False)),  # the daily clean-up
        ]


class Account(models.Model):
    """The owner of devices and credits: a person or an organisation."""

    class Kind(models.TextChoices):
        PERSONAL = "personal"
        ORGANISATION = "organisation"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.PERSONAL)
    name = models.CharField(max_length=150)
    # In which its months begin; that of a person is the person's own.
    time_zone = models.CharField(max_length=64, default="UTC", db_default="UTC")
    members: models.ManyToManyField[User, Membership] = models.ManyToManyField(
        User, through="Membership", related_name="accounts"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=["personal", "organisation"]), name="account_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """What a member may do; each role includes the ones before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    OWNER = "owner"

    @property
    def may(self) -> str:
        """What the role may do, as people are told."""
        return _MAY[self]


_MAY = {
    Role.VIEWER: "sees devices and their history",
    Role.OPERATOR: "sees devices and sends them commands",
    Role.ADMIN: "also registers, changes and deletes devices, and invites members",
    Role.OWNER: "may do everything, up to deleting the organisation",
}


class Membership(models.Model):
    """One user's role in one account."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "account"], name="membership_once"),
            models.CheckConstraint(condition=Q(role__in=[r.value for r in Role]), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.account}: {self.role}"


class Invitation(models.Model):
    """An offer of a role in an organisation, sent to an address; the link's secret is stored hashed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=8, choices=Role)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)  # SHA-256 of 256 random bits
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint("account", Lower("email"), name="invitation_once"),
            models.CheckConstraint(condition=Q(role__in=[r.value for r in Role]), name="invitation_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.account}: {self.role}"


class ApiToken(models.Model):
    """A program's key to its user's devices, shown once and stored hashed."""

    class Kind(models.TextChoices):
        PERSONAL = "personal"
        LOGIN = "login"

    class Scope(models.TextChoices):
        READ = "read", "Read devices and history"
        CONTROL = "control", "Send commands"
        MANAGE = "manage", "Register, change and delete devices"
        BILLING = "billing", "Read and buy credits"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.PERSONAL, editable=False)
    name = models.CharField(max_length=60)
    scopes = ArrayField(models.CharField(max_length=8, choices=Scope))
    prefix = models.CharField(max_length=12, editable=False)  # what the list shows, so that a person knows which one it is
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Of login tokens alone: who signed in from where, and the refresh token. A used one that comes back was stolen or
    # copied, so its hash is kept to recognise it and end the lot.
    ip = models.GenericIPAddressField(null=True, blank=True, editable=False)
    user_agent = models.CharField(max_length=200, blank=True, default="", editable=False)
    refresh_hash = models.CharField(max_length=64, unique=True, null=True, editable=False)
    used_refresh_hash = models.CharField(max_length=64, blank=True, default="", editable=False, db_index=True)
    refresh_expires_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "name"], name="apitoken_name_unique", condition=Q(kind="personal")),
            models.CheckConstraint(condition=Q(kind__in=["personal", "login"]), name="apitoken_kind_known"),
            models.CheckConstraint(
                condition=Q(scopes__contained_by=["read", "control", "manage", "billing"], scopes__len__gt=0),
                name="apitoken_scopes_known",
            ),
            models.CheckConstraint(
                condition=Q(kind="login", refresh_hash__isnull=False, refresh_expires_at__isnull=False, expires_at__isnull=False)
                | Q(kind="personal", refresh_hash=None, refresh_expires_at=None),
                name="apitoken_login_is_refreshed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_expired(self, now: datetime | None = None) -> bool:
        """Say whether the token's time is over."""
        return self.expires_at is not None and self.expires_at <= (now or timezone.now())

    def scope_words(self) -> str:
        """Return the scopes as a list shows them."""
        return ", ".join(str(self.Scope(scope).label) for scope in self.scopes)
