"""People and what they own.

A **User** signs in. An **Account** owns things: every device, message and credit belongs to exactly one account. Each user
has a personal account from sign-up on; an organisation is an account with more members. A **Membership** says what a user
may do in an account:

    viewer    sees devices and history
    operator  … and sends commands
    admin     … and registers, renames and deletes devices, invites members
    owner     … and deletes the account; at least one per account

An **ApiToken** lets a program act as its user. Only its SHA-256 is stored: the token has 256 random bits, so a slow hash
would add nothing but time.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
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
    time_zone = models.CharField(max_length=64, default="UTC")
    theme = models.CharField(
        max_length=8, choices=[("", "As the system"), ("light", "Light"), ("dark", "Dark")], blank=True, default=""
    )

    class Meta(AbstractUser.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                Lower("username"), name="user_username_unique", violation_error_message="That user name is taken."
            ),
            models.UniqueConstraint(Lower("email"), name="user_email_unique"),
        ]


class Account(models.Model):
    """The owner of devices and credits: a person or an organisation."""

    class Kind(models.TextChoices):
        PERSONAL = "personal"
        ORGANISATION = "organisation"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.PERSONAL)
    name = models.CharField(max_length=150)
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


class ApiToken(models.Model):
    """A program's key to its user's devices, shown once and stored hashed."""

    class Scope(models.TextChoices):
        READ = "read", "Read devices and history"
        CONTROL = "control", "Read, and send commands"
        MANAGE = "manage", "Read, send commands, register and delete devices"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=60)
    scope = models.CharField(max_length=8, choices=Scope, default=Scope.CONTROL)
    prefix = models.CharField(max_length=12, editable=False)  # what the list shows, so that a person knows which one it is
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "name"], name="apitoken_name_unique"),
            models.CheckConstraint(condition=Q(scope__in=["read", "control", "manage"]), name="apitoken_scope_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_expired(self, now: datetime | None = None) -> bool:
        """Say whether the token's time is over."""
        return self.expires_at is not None and self.expires_at <= (now or timezone.now())
