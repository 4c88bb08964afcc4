"""One's data as a file; deleting one's account, and thinking better of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import services
from accounts.exports import Export, zipped
from accounts.forms import focus_first_error
from accounts.hooks import account_exported
from accounts.http import AREA, AuthedRequest, recent_sign_in, too_many
from accounts.limits import Limit
from accounts.profile_forms import UserNameForm

_EXPORTS = Limit("export", "5/h/key")  # each reads all that there is


@recent_sign_in
@require_safe
def export(request: AuthedRequest) -> HttpResponseBase:
    """Stream everything that is the user's as a zip file."""
    whose = str(request.user.pk)
    if not _EXPORTS.allow(whose):
        return too_many(request, _EXPORTS.wait_s(whose))
    what = Export(request.user, services.personal_account(request.user))
    account_exported(what)
    name = f"iot-portal-{timezone.localtime():%Y-%m-%d}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(_sent(zipped(what)), content_type="application/zip", headers=headers)


async def _sent(pieces: Generator[bytes]) -> AsyncGenerator[bytes]:
    """Make each piece when the server has sent the one before, and none after the client left."""
    try:
        while (piece := await sync_to_async(lambda: next(pieces, None))()) is not None:
            yield piece
    finally:
        await sync_to_async(pieces.close)()


@recent_sign_in
@require_http_methods(["GET", "POST"])
def delete(request: AuthedRequest) -> HttpResponse:
    """Have the user name typed, then note the wish."""
    form = UserNameForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.request_deletion(user=request.user, name=form.cleaned_data["name"])
        except services.WrongName as error:
            form.add_error("name", str(error))
        except services.OrganisationError as error:
            form.add_error(None, str(error))
        else:
            return redirect("accounts:leaving")
    focus_first_error(form)
    context = {**AREA, "form": form, "days": settings.DELETE_DAYS, "alone": services.owned_alone(request.user)}
    return render(request, "accounts/delete.html", context, status=400 if form.errors else 200)


@login_required
@require_safe
@never_cache
def leaving(request: AuthedRequest) -> HttpResponse:
    """Say when the account is deleted, and offer to keep it."""
    if request.user.delete_at is None:
        return redirect("accounts:account")
    return render(request, "accounts/leaving.html", AREA)


@login_required
@require_POST
def keep(request: AuthedRequest) -> HttpResponse:
    """Keep the account."""
    if services.keep_account(user=request.user):
        messages.success(request, "Your account stays.")
    return redirect("accounts:account")
