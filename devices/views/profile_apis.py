"""Adding an api to a profile of one's own by a form, without JSON."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access import Action
from accounts.http import AuthedRequest
from devices import services
from devices.access import access_profile
from devices.api_forms import MORE_ROWS, MOST_ROWS, ROWS, ApiForms
from devices.models import OwnProfile
from devices.profile_documents import with_api
from devices.views.profiles import PAGE, own_of


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def add_api(request: AuthedRequest, key: str) -> HttpResponse:
    """Ask what an api is called, takes and answers, and save the profile with it as its next version."""
    own = own_of(access_profile(request.user, key, Action.MANAGE))
    rows = ROWS + MORE_ROWS if "rows" in request.GET else ROWS
    forms = ApiForms(request.POST or None, rows=min(rows, MOST_ROWS), version=own.version)
    status = 200
    if request.method == "POST":
        status = 400
        if forms.is_valid():
            status = _save(request, own, forms)
    if status == 302:
        return redirect(f"{reverse('devices:profile', args=[own.hex])}#{forms.api.cleaned_data['name']}")
    return render(request, "devices/profile_api.html", {**PAGE, "own": own, "forms": forms}, status=status)


def _save(request: AuthedRequest, own: OwnProfile, forms: ApiForms) -> int:
    """Save the profile with the new api; return the status of the answer, after what went wrong was put into the forms."""
    name = forms.api.cleaned_data["name"]
    document = services.document_of(own)
    if name in document["apis"]:
        forms.api.add_error("name", "There is an api of that name already. Edit it in the document.")
        return 400
    try:
        saved = services.save_profile(
            profile=own,
            document=with_api(document, name, forms.described),
            by=request.user,
            based_on=forms.api.cleaned_data["version"],
        )
    except services.InvalidProfile as error:
        forms.take(error.problems)
        return 400
    except (services.ProfileChanged, services.ProfileGone) as error:
        forms.api.add_error(None, str(error))
        return 409
    messages.success(request, f"{name} is part of version {saved.version}. Its devices have a tile for it from now on.")
    return 302
