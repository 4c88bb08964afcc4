"""How sign-ins at other sites meet our users: whose they are, and what is believed of what a site says.

An address that a site tells is taken as confirmed only if the site says so and its word is trusted (`trusts_email`); else the
person confirms it here, by a code, as everybody who signs up. That decides who may come in as whom:

    the site's account is connected       its user, whatever address it tells now
    a confirmed address of a user here    that user, who is connected and told; but not if they are connected to another
                                          account at the same site: there the address has changed hands
    an address of a sign-up here that     a new user; the sign-up, whose maker never read a mail there, is forgotten
    was never confirmed
    an unconfirmed address that is known  nobody: the page says that a code was sent, and the owner gets a mail
    here
"""

from __future__ import annotations

import logging
import unicodedata
from typing import Any

from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter, _build_apps_from_settings
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from allauth.socialaccount.providers.base import AuthProcess, Provider
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.forms import BaseForm
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import reverse

from accounts import services
from accounts.models import User
from accounts.oidc import OidcAdapter
from accounts.validators import validate_plain_address, validate_user_name, validate_visible_text

logger = logging.getLogger(__name__)

_NAME_LENGTH = 150
_USER_NAME_LENGTHS = range(3, 151)


class SocialAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Believes little, keeps little."""

    def list_apps(self, request: HttpRequest, provider: str | None = None, client_id: str | None = None) -> list[SocialApp]:
        """Return the providers of the environment; there are none in the database."""
        found = _build_apps_from_settings(provider=provider, client_id=client_id)
        return [app for apps in found.values() for app in apps]

    def get_provider(self, request: HttpRequest, provider: str, client_id: str | None = None) -> Provider:
        """Return a provider; those of OpenID Connect are asked in our way."""
        found: Provider = super().get_provider(request, provider, client_id=client_id)
        if found.id == "openid_connect":
            found.oauth2_adapter_class = OidcAdapter
        return found

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        """Take from what the site tells a name, a user name and one address, if they can be; keep nothing else."""
        data = {key: value for key, value in data.items() if isinstance(value, str)}
        user: User = super().populate_user(request, sociallogin, data)
        user.first_name, user.last_name = visible(user.first_name), visible(user.last_name)
        user.username = usable_name(user.username)
        sociallogin.email_addresses = one_address(sociallogin)
        user.email = sociallogin.email_addresses[0].email if sociallogin.email_addresses else ""
        sociallogin.phone, sociallogin.phone_verified = None, False
        sociallogin.account.extra_data = shown_as(sociallogin, data)
        return user

    def authenticate_by_email(self, sociallogin: SocialLogin) -> tuple[User, str] | None:
        """Return the user who confirmed the address that a trusted site confirms too."""
        for address in sociallogin.email_addresses:
            if not address.verified:
                continue
            here = EmailAddress.objects.select_related("user").filter(email=address.email, verified=True).first()
            if here is not None and not self._other_account(here.user, sociallogin).exists():
                return here.user, address.email
        return None

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Make way for the address's owner, and keep one account of a site for one user."""
        sociallogin.token = None  # nothing is asked of the site any more, so the session need not keep it
        if sociallogin.state.get("process") == AuthProcess.CONNECT:
            self._one_per_site(request, sociallogin)
        elif not sociallogin.is_existing:
            forget_unconfirmed(sociallogin)

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: BaseForm | None = None) -> User:
        """Save a new user with the personal account, all or nothing."""
        try:
            with transaction.atomic():
                user: User = super().save_user(request, sociallogin, form)
                if form is None:  # with a form our other adapter has made it
                    services.create_personal_account(user)
        except IntegrityError as error:  # the same person in two tabs, or somebody took the name a moment ago
            messages.error(request, "Somebody signed up with that name or address a moment ago. Try again.")
            raise ImmediateHttpResponse(redirect("account_login")) from error
        return user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: SocialAccount) -> str:
        """Lead back to the Account page."""
        return reverse("accounts:account")

    def on_authentication_error(self, request: HttpRequest, provider: Provider, **kwargs: Any) -> None:
        """Leave a line in the log, without what the site said."""
        exception = kwargs.get("exception")
        why = type(exception).__name__ if exception else kwargs.get("error")
        logger.warning("Sign-in with %s failed: %s", provider.sub_id, why)

    def _other_account(self, user: User, sociallogin: SocialLogin) -> Any:
        same_site = SocialAccount.objects.filter(user=user, provider=sociallogin.account.provider)
        return same_site.exclude(uid=sociallogin.account.uid)

    def _one_per_site(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if request.user.is_authenticated and self._other_account(request.user, sociallogin).exists():
            name = sociallogin.provider.name
            messages.error(request, f"Another account at {name} is connected. Disconnect it first.")
            raise ImmediateHttpResponse(redirect("accounts:account"))


def visible(name: object) -> str:
    """Return a name without what does not show, as long as we keep names."""
    shown = "".join(letter for letter in str(name or "") if unicodedata.category(letter) not in {"Cc", "Cs"})
    try:
        validate_visible_text(shown)
    except ValidationError:  # it turns the direction of text around
        return ""
    return shown.strip()[:_NAME_LENGTH]


def usable_name(name: str) -> str:
    """Return a user name if it can be one here; "" where one is to be made up. None is an address: that is proved otherwise."""
    try:
        validate_user_name(name)
    except ValidationError:
        return ""
    return name if len(name) in _USER_NAME_LENGTHS and "@" not in name else ""


def one_address(sociallogin: SocialLogin) -> list[EmailAddress]:
    """Return the first address that can be used, confirmed only by a site that is trusted to."""
    for address in sociallogin.email_addresses:  # allauth has put the most important first
        email = str(address.email).lower()
        try:
            validate_plain_address(email)
            validate_email(email)
        except ValidationError:
            continue
        if len(email) <= 254:
            confirmed = address.verified is True and vouches(sociallogin, email)
            return [EmailAddress(email=email, verified=confirmed, primary=True)]
    return []


def vouches(sociallogin: SocialLogin, email: str) -> bool:
    """Say whether the site's word counts that an address is this person's.

    Google knows that of its own mailboxes and of those it hosts (claim `hd`); any other address was somebody's at some time
    (developers.google.com, "Authenticate with a backend server").
    """
    provider = sociallogin.provider
    if not provider.app.settings.get("trusts_email"):
        return False
    if provider.id != "google":
        return True
    claims = sociallogin.account.extra_data
    hosted = claims.get("hd")
    return email.endswith("@gmail.com") or (isinstance(hosted, str) and email.rpartition("@")[2] == hosted.lower())


def shown_as(sociallogin: SocialLogin, data: dict[str, Any]) -> dict[str, str]:
    """Return what the Account page shows of the site's account, all that is kept of it."""
    user = sociallogin.user
    shown = user.email or visible(data.get("username")) or visible(data.get("name")) or user.get_full_name()
    return {"username": shown[:254]}


def forget_unconfirmed(sociallogin: SocialLogin) -> None:
    """Remove a sign-up with an address that a trusted site says is this person's, if nobody ever confirmed it."""
    for address in sociallogin.email_addresses:
        if address.verified:
            for user in User.objects.filter(email=address.email):
                services.abandon_sign_up(user=user)
