"""The kinds of devices: read them as a document, make, change and delete one's own."""

from __future__ import annotations

import json

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import Action
from accounts.http import AuthedRequest
from accounts.models import User
from devices import selectors, services
from devices.access import Described, access_profile
from devices.forms import DocumentForm, NewProfileForm
from devices.models import OwnProfile
from devices.profile_check import InvalidProfile, read_json
from devices.profile_documents import blank
from devices.views.common import AREA, owners_for

PAGE = {**AREA, "back": "devices:profiles"}


@login_required
@require_GET
def profile_list(request: AuthedRequest) -> HttpResponse:
    """Show the kinds of devices that there are."""
    found = selectors.profiles_for(request.user)
    context = {**AREA, "own": [one for one in found if one.own], "shipped": [one for one in found if not one.own]}
    return render(request, "devices/profiles.html", {**context, "may_make": bool(owners_for(request.user))})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def make(request: AuthedRequest) -> HttpResponse:
    """Make a profile of one's own, from a copy of another or empty."""
    owners, found = owners_for(request.user), selectors.profiles_for(request.user)
    form = NewProfileForm(request.POST or None, owners=owners, profiles=found, initial={"begin": request.GET.get("copy", "")})
    if request.method == "POST" and form.is_valid():
        begin = next((one for one in found if one.key == form.cleaned_data["begin"]), None)
        name = form.cleaned_data["name"]
        try:
            own = services.make_profile(
                account=form.owner, name=name, document=begin.document if begin else blank(name, ""), by=request.user
            )
        except services.InvalidProfile as error:
            form.add_error("name", "; ".join(text for texts in error.problems.values() for text in texts))
        except (services.SlugTaken, services.TooManyProfiles) as error:
            form.add_error("name", str(error))
        else:
            return redirect("devices:edit_profile", own.hex)
    return render(request, "devices/profile_new.html", {**PAGE, "form": form}, status=400 if form.errors else 200)


@login_required
@require_GET
@never_cache
def profile(request: AuthedRequest, key: str) -> HttpResponse:
    """Show what a kind of device can do: its documentation, made of its profile."""
    described = access_profile(request.user, key)
    own = described.own
    context = {
        **PAGE,
        "described": described,
        "profile": described.profile,
        "own": own,
        "may_manage": own is not None and _may_manage(request.user, own),
        "may_copy": bool(owners_for(request.user)),
        "devices": own.devices.live().count() if own is not None else 0,
    }
    return render(request, "devices/profile.html", context)


@login_required
@require_GET
@never_cache
def profile_file(request: AuthedRequest, key: str) -> HttpResponse:
    """Return a profile as the file that simulators and the conformance test read."""
    described = access_profile(request.user, key)
    response = JsonResponse(described.document, json_dumps_params={"indent": 1, "ensure_ascii": False})
    response["Content-Disposition"] = f'attachment; filename="{described.profile.slug}.json"'
    return response


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def edit(request: AuthedRequest, key: str) -> HttpResponse:
    """Change a profile of one's own as the document that it is; an older version can be taken back."""
    own = own_of(access_profile(request.user, key, Action.MANAGE))
    if request.method == "POST":
        return _save(request, own)
    form = DocumentForm(initial={"document": _text(own, request.GET.get("version", "")), "version": own.version})
    return _editor(request, own, form)


def _save(request: AuthedRequest, own: OwnProfile) -> HttpResponse:
    """Save what the editor sent; whatever is wrong with it, the text stays."""
    form = DocumentForm(request.POST)
    if not form.is_valid():
        return _editor(request, own, form, status=400)
    try:
        document = read_json(form.cleaned_data["document"])
        if not isinstance(document, dict):
            raise InvalidProfile({"document": ["A profile is a JSON object, in { }."]})
        saved = services.save_profile(
            profile=own, document=document, by=request.user, based_on=form.cleaned_data["version"] or None
        )
    except InvalidProfile as error:
        return _editor(request, own, form, problems=error.problems, status=400)
    except services.ProfileChanged as error:
        own.refresh_from_db()
        return _editor(request, own, form, problems={"": [str(error)]}, status=409)
    messages.success(request, f"Saved as version {saved.version}. Its devices are treated by it from now on.")
    return redirect("devices:profile", saved.hex)


def _editor(
    request: AuthedRequest,
    own: OwnProfile,
    form: DocumentForm,
    *,
    problems: dict[str, list[str]] | None = None,
    status: int = 200,
) -> HttpResponse:
    versions = own.versions.select_related("saved_by").defer("document")
    context = {**PAGE, "own": own, "form": form, "problems": problems or {}, "versions": versions}
    return render(request, "devices/profile_edit.html", context, status=status)


def _text(own: OwnProfile, version: str) -> str:
    """Return the document of a version for people to read and write; of the newest one if that is not kept."""
    number = int(version) if version.isascii() and version.isdecimal() and len(version) < 10 else None
    try:
        document = services.document_of(own, number)
    except services.ProfileGone:
        document = services.document_of(own)
    return json.dumps(document, indent=2, ensure_ascii=False)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: AuthedRequest, key: str) -> HttpResponse:
    """Delete a profile that no device has, after a question."""
    own = own_of(access_profile(request.user, key, Action.MANAGE))
    problem = ""
    if request.method == "POST":
        try:
            services.delete_profile(profile=own)
        except services.ProfileInUse as error:
            problem = str(error)
        else:
            messages.success(request, f"{own.name} is deleted.")
            return redirect("devices:profiles")
    return render(
        request, "devices/profile_delete.html", {**PAGE, "own": own, "problem": problem}, status=409 if problem else 200
    )


def own_of(described: Described) -> OwnProfile:
    """Return the row of a profile that may be changed; `access_profile` has refused the others."""
    assert described.own is not None  # noqa: S101 - for the type checker
    return described.own


def _may_manage(user: User, own: OwnProfile) -> bool:
    return OwnProfile.objects.for_user(user, Action.MANAGE).filter(pk=own.pk).exists()
