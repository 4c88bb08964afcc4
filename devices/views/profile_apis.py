"""Adding an api to a profile of one's own by a form, changing and removing it, without JSON."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access import Action
from accounts.http import AuthedRequest
from devices import services
from devices.access import access_profile
from devices.api_forms import MORE_ROWS, ROWS, ApiForms, Shown, blank_form, filled, revised, typed
from devices.models import OwnProfile
from devices.profile_documents import with_api, without_api
from devices.views.profiles import PAGE, own_of


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def add_api(request: AuthedRequest, key: str) -> HttpResponse:
    """Ask what an api is called, takes and answers, and save the profile with it as its next version."""
    own = own_of(access_profile(request.user, key, Action.MANAGE))
    return _form(request, own, blank_form(own.version))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def edit_api(request: AuthedRequest, key: str, api: str) -> HttpResponse:
    """Show an api in the same form, and save the profile with it changed; what the form has no place for stays as it is."""
    own, document = _with(request, key, api)
    shown = filled(api, document["apis"][api], own.version)
    if shown is None:
        messages.info(request, f"{api} has what the form has no place for. Edit it in the document.")
        return redirect("devices:edit_profile", own.hex)
    return _form(request, own, shown, before=api)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def remove_api(request: AuthedRequest, key: str, api: str) -> HttpResponse:
    """Ask, then save the profile without the api."""
    own, document = _with(request, key, api)
    if request.method == "POST":
        try:
            saved = services.save_profile(profile=own, document=without_api(document, api), by=request.user, based_on=own.version)
        except services.ProfileChanged as error:
            messages.error(request, str(error))
            return redirect("devices:remove_api", own.hex, api)
        messages.success(request, f"{api} is removed: version {saved.version}.")
        return redirect("devices:profile", own.hex)
    return render(request, "devices/profile_api_remove.html", {**PAGE, "own": own, "api_name": api})


def _with(request: AuthedRequest, key: str, api: str) -> tuple[OwnProfile, dict[str, Any]]:
    """Return a profile that may be changed, and its document with this api in it. Raises Http404."""
    own = own_of(access_profile(request.user, key, Action.MANAGE))
    document = services.document_of(own)
    if api not in document["apis"]:
        raise Http404
    return own, document


def _form(request: AuthedRequest, own: OwnProfile, shown: Shown, *, before: str = "") -> HttpResponse:
    """Show the form, empty or with the api that was called `before`; take it, or give it more rows."""
    status = 200
    if "more" in request.POST:
        forms = ApiForms(None, typed(request.POST), more=MORE_ROWS)
    else:
        forms = ApiForms(request.POST or None, shown, more=ROWS)
        if request.method == "POST":
            status = _save(request, own, forms, before) if forms.is_valid() else 400
    if status == 302:
        return redirect(f"{reverse('devices:profile', args=[own.hex])}#{forms.api.cleaned_data['name']}")
    context = {**PAGE, "own": own, "forms": forms, "api_name": before}
    return render(request, "devices/profile_api.html", context, status=status)


def _save(request: AuthedRequest, own: OwnProfile, forms: ApiForms, before: str) -> int:
    """Save the profile with the api; return the status of the answer, after what went wrong was put into the forms."""
    name, api = forms.api.cleaned_data["name"], forms.described
    document = services.document_of(own)
    if name in document["apis"] and name != before:
        forms.api.add_error("name", "There is an api of that name already.")
        return 400
    if before:
        api = revised(document["apis"].get(before, {}), api)
    try:
        saved = services.save_profile(
            profile=own,
            document=with_api(document, name, api, before=before),
            by=request.user,
            based_on=forms.api.cleaned_data["version"],
        )
    except services.InvalidProfile as error:
        forms.take(error.problems)
        return 400
    except (services.ProfileChanged, services.ProfileGone) as error:
        forms.api.add_error(None, str(error))
        return 409
    what = "changed in" if before else "part of"
    messages.success(request, f"{name} is {what} version {saved.version}. Its devices have its tile so from now on.")
    return 302
