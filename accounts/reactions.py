"""What happens when allauth's flows get somewhere."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.stages import EmailVerificationStage, LoginStageController
from allauth.socialaccount.models import SocialLogin
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from accounts.models import User
from accounts.services import social


def on_email_confirmed(sender: object, request: HttpRequest, email_address: EmailAddress, **kwargs: Any) -> None:
    """Tell the owner of an address from whoever signed up with it: only in the sign-up's own browser they are the same."""
    stage = LoginStageController.enter(request, EmailVerificationStage.key)
    signs_up = stage is not None and stage.login.user is not None and stage.login.user.pk == email_address.user_id
    if not signs_up and request.user.pk != email_address.user_id:
        social.forget_ways_of_unconfirmed(address=email_address)


def on_signed_in(sender: object, request: HttpRequest, user: User, sociallogin: SocialLogin | None = None, **kwargs: Any) -> None:
    """Connect a site's account that came in by a confirmed address, now that the second factor was shown too."""
    if sociallogin is None:
        return
    request.session.set_expiry(0)  # as long as the browser is open: nobody was asked for more
    if sociallogin.account.pk is None:
        with suppress(IntegrityError), transaction.atomic():  # somebody connected it in the meantime
            sociallogin.connect(request, user)
