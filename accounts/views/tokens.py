"""Personal API tokens."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import services
from accounts.forms import TokenForm, focus_first_error
from accounts.http import AREA, AuthedRequest, recent_sign_in
from accounts.models import ApiToken


def section(request: AuthedRequest) -> dict[str, object]:
    """Return what the Account page shows of tokens."""
    return {"tokens": request.user.api_tokens.filter(kind=ApiToken.Kind.PERSONAL)}


@recent_sign_in
@require_http_methods(["GET", "POST"])
def new_token(request: AuthedRequest) -> HttpResponse:
    """Make an API token and show it, this once; it is never stored, so there is no page to come back to."""
    form = TokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            token, secret = services.create_token(
                user=request.user, name=data["name"], scopes=data["scopes"], expires_at=form.expires_at()
            )
        except services.NameTaken:
            form.add_error("name", "You have a token of that name.")
        except services.TooManyTokens:
            limit = settings.API_TOKENS_PER_USER
            form.add_error(None, f"You have {limit} tokens, and that is the most. Revoke one that you no longer use.")
        else:
            command = f'curl -H "Authorization: Bearer {secret}" {settings.PORTAL_URL}/api/v1/devices'
            return render(request, "accounts/token_made.html", {**AREA, "token": token, "secret": secret, "command": command})
    focus_first_error(form)
    return render(request, "accounts/token_new.html", {**AREA, "form": form}, status=400 if form.errors else 200)


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def revoke_token(request: AuthedRequest, token_id: UUID) -> HttpResponse:
    """Ask, then end a token."""
    token = get_object_or_404(ApiToken, pk=token_id, user=request.user)
    if request.method == "POST":
        services.revoke_token(token=token)
        return redirect("accounts:account")
    return render(request, "accounts/token_revoke.html", {**AREA, "token": token})
