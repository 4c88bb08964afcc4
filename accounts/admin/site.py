"""The admin's name and door, and what must not be in it."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts import staff_door

admin.site.site_header = "IoT Portal operators"
admin.site.site_title = "IoT Portal"
admin.site.index_title = "Operations"
admin.site.login = staff_door.sign_in  # type: ignore[method-assign]  # one sign-in, with its limits, for all
admin.site.has_permission = staff_door.may_enter  # type: ignore[method-assign]  # and with the second factor


def change_own_password(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """Send operators where everybody changes the password: that also ends the tokens made with the old one."""
    return redirect("account_reset_password")


admin.site.password_change = change_own_password  # type: ignore[assignment, method-assign]  # there is one way to do it

# allauth's own pages for these would show secrets, and let an operator change what only its owner may.
for model in (Authenticator, EmailAddress, SocialAccount, SocialApp, SocialToken):
    admin.site.unregister(model)
