"""Signing in with an account of another site: there, back, and what goes wrong on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import requests
from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.account.utils import get_next_redirect_url
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount import views as allauth_social
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialAccount, SocialApp
from allauth.socialaccount.providers.amazon.views import AmazonOAuth2Adapter
from allauth.socialaccount.providers.apple.views import AppleOAuth2Adapter, apple_post_callback
from allauth.socialaccount.providers.base import AuthProcess, Provider
from allauth.socialaccount.providers.facebook.views import FacebookOAuth2Adapter
from allauth.socialaccount.providers.github.views import GitHubOAuth2Adapter
from allauth.socialaccount.providers.google.views import GoogleOAuth2Adapter
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.http import AREA, AuthedRequest, recent_sign_in, too_many
from accounts.limits import Limit
from accounts.oidc import OidcAdapter, new_nonce
from accounts.services import social, tries
from accounts.social_forms import SocialSignUpForm
from accounts.views.door import BadRequestMixin

logger = logging.getLogger(__name__)

_ADAPTERS = {
    "amazon": AmazonOAuth2Adapter,
    "apple": AppleOAuth2Adapter,
    "facebook": FacebookOAuth2Adapter,
    "github": GitHubOAuth2Adapter,
    "google": GoogleOAuth2Adapter,
}
_BEGINNING = Limit("social", "30/m/key")  # each may have us ask the site something
# What a site that does not keep to its protocol makes of allauth's readers.
_NONSENSE = (requests.RequestException, OAuth2Error, ImproperlyConfigured, AttributeError, LookupError, TypeError, ValueError)


def section(request: AuthedRequest) -> dict[str, object]:
    """Return what the Account page shows of other sites."""
    connected = {one.provider: one for one in SocialAccount.objects.filter(user=request.user)}
    known = {one.id: one for one in settings.LOGIN_PROVIDERS if not one.missing}
    gone = [(name, one) for name, one in connected.items() if name not in known]  # no longer set up, still to be let go
    return {"sites": [(one, connected.get(one.id)) for one in known.values()], "gone_sites": gone}


def _provider_or_404(request: HttpRequest, provider_id: str) -> Provider:
    try:
        return get_adapter(request).get_provider(request, provider_id)
    except SocialApp.DoesNotExist as error:
        raise Http404("No such way to sign in.") from error


def _going_wrong(request: HttpRequest, provider: Provider, error: Exception) -> HttpResponse:
    response: HttpResponse = render_authentication_error(request, provider, exception=error)
    return response


# --- there ----------------------------------------------------------------------------------------------------------------------


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def begin(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Ask whether to go to the site, then go there to sign in."""
    provider = _provider_or_404(request, provider_id)
    if request.method != "POST":  # a link from elsewhere: nobody is sent on without having wanted it
        return render(request, "account/social_begin.html", {"provider": provider})
    return _go(request, provider, AuthProcess.LOGIN)


@recent_sign_in
@require_POST
def connect(request: AuthedRequest, provider_id: str) -> HttpResponse:
    """Go to the site to connect an account there."""
    return _go(request, _provider_or_404(request, provider_id), AuthProcess.CONNECT)


def _go(request: HttpRequest, provider: Provider, process: str) -> HttpResponse:
    """Show a page that goes on by itself.

    Not a redirect: the policy on forms (`form-action 'self'`) would forbid what follows a form, or have to name every host that a
    site passes through.
    """
    address = tries.network(get_account_adapter().get_client_ip(request))
    if not _BEGINNING.allow(address):
        return too_many(request, _BEGINNING.wait_s(address))
    more: dict[str, Any] = {}
    if provider.id == "openid_connect":
        nonce = new_nonce()
        more = {"nonce": nonce, "auth_params": {**provider.get_auth_params(), "nonce": nonce}}
    try:
        response = provider.redirect(request, process=process, next_url=get_next_redirect_url(request), **more)
    except _NONSENSE as error:
        return _going_wrong(request, provider, error)
    if "Location" not in response:  # an error page
        return response  # type: ignore[no-any-return]  # allauth has no types
    return render(request, "account/social_going.html", {"provider": provider, "url": response["Location"]})


# --- and back -------------------------------------------------------------------------------------------------------------------


class CallbackView(OAuth2CallbackView):  # type: ignore[misc]  # allauth has no types
    """Takes the site's answer."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show what went wrong, whatever the site did."""
        try:
            response: HttpResponse = super().dispatch(request, *args, **kwargs)
        except _NONSENSE as error:
            return _going_wrong(request, self.adapter.get_provider(), error)
        return response

    def _get_state(self, request: HttpRequest, provider: Provider) -> tuple[dict[str, Any] | None, HttpResponse | None]:
        """Give the state of the sign-in, which is used up now, to the one who checks the answer."""
        state, response = super()._get_state(request, provider)
        self.adapter.state = state
        if response is None and isinstance(self.adapter, OidcAdapter):
            self.adapter.check_answer(request)
        return state, response


@never_cache
@require_safe
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Take the answer of the site, by the rules of its kind."""
    _provider_or_404(request, provider_id)
    adapter = _ADAPTERS[provider_id](request) if provider_id in _ADAPTERS else OidcAdapter(request, provider_id)
    view: Callable[[HttpRequest], HttpResponse] = CallbackView.adapter_view(adapter)
    return view(request)


@csrf_exempt
@never_cache
def apple_answer(request: HttpRequest) -> HttpResponse:
    """Take Apple's answer, which comes as a form from another site and so without the session; `callback` goes on with both."""
    _provider_or_404(request, "apple")
    response: HttpResponse = apple_post_callback(request)
    return response


@method_decorator(never_cache, name="dispatch")
class SignUpView(BadRequestMixin, allauth_social.SignupView):  # type: ignore[misc]  # allauth has no types
    """Asks new users for what the site did not tell."""

    form_class = SocialSignUpForm
    template_name = "account/social_signup.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the site."""
        return {**super().get_context_data(**kwargs), "provider": self.sociallogin.provider}

    def form_valid(self, form: BaseForm) -> HttpResponse:
        """Sign up; what somebody else took in the meantime is said on the sign-in page."""
        try:
            response: HttpResponse = super().form_valid(form)
        except ImmediateHttpResponse as stopped:
            response = stopped.response
        return response


@require_safe
def cancelled(request: HttpRequest) -> HttpResponse:
    """Say that nothing happened."""
    messages.info(request, "Nothing was changed: you did not go on at the other site.")
    return redirect("accounts:account" if request.user.is_authenticated else "account_login")


# --- connected sites ----------------------------------------------------------------------------------------------------------


@recent_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def disconnect(request: AuthedRequest, provider_id: str) -> HttpResponse:
    """Ask, then let a site's account sign in no longer."""
    account = SocialAccount.objects.filter(user=request.user, provider=provider_id).first()
    if account is None:
        raise Http404("Not connected.")
    name = next((one.name for one in settings.LOGIN_PROVIDERS if one.id == provider_id), provider_id)
    last = False
    if request.method == "POST":
        try:
            social.disconnect(user=request.user, provider=provider_id)
        except social.NotConnected:  # in another tab, a moment ago
            return redirect("accounts:account")
        except social.LastWayIn:
            last = True
        else:
            words = {"provider": {"name": name}}
            get_account_adapter(request).send_notification_mail("account/email/account_disconnected", request.user, words)
            return redirect("accounts:account")
    context = {**AREA, "name": name, "shown": account.extra_data.get("username", ""), "last": last}
    return render(request, "accounts/social_disconnect.html", context, status=409 if last else 200)
