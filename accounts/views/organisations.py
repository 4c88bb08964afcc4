"""Organisations and their members."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import services
from accounts.access import Action, access_membership, role_may, roles_up_to
from accounts.forms import focus_first_error
from accounts.http import AREA, AuthedRequest
from accounts.models import Account, Membership, Role, User
from accounts.organisation_forms import InvitationForm, NameForm, RoleForm, TimeZoneForm
from accounts.selectors import members_of, memberships_of
from iotportal.time_zones import time_zones

_GONE = (services.NoSuchMember, services.NoSuchInvitation, services.NotInvited)


def section(request: AuthedRequest) -> dict[str, object]:
    """Return what the Account page says of organisations."""
    found = memberships_of(request.user).filter(account__kind=Account.Kind.ORGANISATION)
    return {"organisations": found, "invitations": services.invitations_to(request.user)}


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def new(request: AuthedRequest) -> HttpResponse:
    """Make an organisation."""
    form = NameForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            account = services.create_organisation(user=request.user, name=form.cleaned_data["name"])
        except services.InvalidName as error:
            form.add_error("name", str(error))
        except services.TooManyOrganisations as error:
            form.add_error(None, str(error))
        else:
            return redirect("accounts:organisation", account.pk)
    focus_first_error(form)
    return render(request, "accounts/organisation_new.html", {**AREA, "form": form}, status=400 if form.errors else 200)


@login_required
@require_safe
@never_cache
def organisation(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Show an organisation and its members."""
    return page(request, access_organisation(request, account_id))


@login_required
@require_POST
def rename(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Give it another name."""
    mine = access_organisation(request, account_id, Action.MANAGE)
    form = NameForm(request.POST)
    if form.is_valid():
        try:
            services.rename_organisation(account=mine.account, by=request.user, name=form.cleaned_data["name"])
        except services.InvalidName as error:
            form.add_error("name", str(error))
        except services.OrganisationError as error:
            return refused(request, mine, error)
        else:
            return redirect("accounts:organisation", account_id)
    return page(request, mine, name_form=form)


@login_required
@require_POST
def set_time_zone(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Choose the time zone in which its months begin."""
    mine = access_organisation(request, account_id, Action.MANAGE)
    form = TimeZoneForm(request.POST)
    if not form.is_valid():
        return page(request, mine, zone_form=form)
    try:
        services.set_time_zone(account=mine.account, by=request.user, time_zone=form.cleaned_data["time_zone"])
    except services.OrganisationError as error:
        return refused(request, mine, error)
    return redirect("accounts:organisation", account_id)


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def delete(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Have its name typed, then delete it."""
    mine = access_organisation(request, account_id, Action.OWN)
    form = NameForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.delete_organisation(account=mine.account, by=request.user, name=form.cleaned_data["name"])
        except services.WrongName as error:
            form.add_error("name", str(error))
        except services.OrganisationError as error:
            return refused(request, mine, error)
        else:
            messages.success(request, f"{mine.account.name} is deleted, and its devices with it.")
            return redirect("accounts:account")
    focus_first_error(form)
    context = {**AREA, "organisation": mine.account, "form": form}
    return render(request, "accounts/organisation_delete.html", context, status=400 if form.errors else 200)


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def leave(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Ask, then let the user go."""
    mine = access_organisation(request, account_id)
    if request.method != "POST":
        return render(request, "accounts/organisation_leave.html", {**AREA, "organisation": mine.account})
    try:
        services.remove_member(account=mine.account, by=request.user, user=request.user)
    except services.OrganisationError as error:
        return refused(request, mine, error)
    messages.success(request, f"You left {mine.account.name}.")
    return redirect("accounts:account")


@login_required
@require_POST
def change_role(request: AuthedRequest, account_id: UUID, user_id: UUID) -> HttpResponse:
    """Give a member another role."""
    mine = access_organisation(request, account_id, Action.MANAGE)
    member = _member(mine.account, user_id)
    form = RoleForm(request.POST, reach=list(Role))
    if not form.is_valid():
        return page(request, mine, problem="Choose one of the roles.", status=400)
    try:
        changed = services.change_role(account=mine.account, by=request.user, user=member, role=form.cleaned_data["role"])
    except services.OrganisationError as error:
        return refused(request, mine, error)
    messages.success(request, f"{member.username} is {changed.get_role_display().lower()} from now on.")
    return redirect("accounts:organisation", account_id)


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def remove(request: AuthedRequest, account_id: UUID, user_id: UUID) -> HttpResponse:
    """Ask, then take a member out."""
    mine = access_organisation(request, account_id, Action.MANAGE)
    member = _member(mine.account, user_id)
    if request.method != "POST":
        context = {**AREA, "organisation": mine.account, "member": member}
        return render(request, "accounts/member_remove.html", context)
    try:
        services.remove_member(account=mine.account, by=request.user, user=member)
    except services.OrganisationError as error:
        return refused(request, mine, error)
    messages.success(request, f"{member.username} is no member any more.")
    return redirect("accounts:account") if member == request.user else redirect("accounts:organisation", account_id)


# --- what these views share ------------------------------------------------------------------------------------------------


def access_organisation(request: AuthedRequest, account_id: UUID, action: Action = Action.READ) -> Membership:
    """Return the user's membership in an organisation, if it allows `action`.

    Raises:
        Http404: there is no such organisation, or the user is no member; both look the same.
        PermissionDenied: a member whose role does not reach that far.
    """
    mine = access_membership(request.user, account_id, action)
    if mine.account.kind != Account.Kind.ORGANISATION:
        raise Http404("No such organisation.")
    return mine


def refused(request: AuthedRequest, mine: Membership, error: services.OrganisationError) -> HttpResponse:
    """Say what a service refused, on the page where it was asked."""
    if isinstance(error, services.RoleTooLow):
        raise PermissionDenied(str(error))
    if isinstance(error, _GONE):
        raise Http404(str(error))
    return page(request, mine, problem=str(error), status=429 if isinstance(error, services.TooManyInvitations) else 409)


def page(request: AuthedRequest, mine: Membership, *, problem: str = "", status: int = 200, **forms: Form) -> HttpResponse:
    """Render the page of an organisation; a form with errors makes it a 400."""
    account, reach = mine.account, roles_up_to(mine.role)
    members, invited = list(members_of(account)), list(account.invitations.select_related("invited_by")) if reach else []
    now = timezone.now()
    context = {
        **AREA,
        "organisation": account,
        "mine": mine,
        "problem": problem,
        "may_manage": role_may(mine.role, Action.MANAGE),
        "may_own": role_may(mine.role, Action.OWN),
        "reach": [str(role) for role in reach],
        "members": members,
        "invited": invited,
        "taken": len(members) + sum(invitation.expires_at > now for invitation in invited),
        "limit": settings.MEMBERS_PER_ORGANISATION,
        "now": now,
        "name_form": forms.get("name_form") or NameForm(initial={"name": account.name}),
        "zone_form": forms.get("zone_form") or TimeZoneForm(initial={"time_zone": account.time_zone}),
        "zones": time_zones(),
        "invitation_form": forms.get("invitation_form") or InvitationForm(reach=reach),
        "roles": [(role, role.may) for role in Role],
    }
    wrong = any(form.errors for form in forms.values())
    return render(request, "accounts/organisation.html", context, status=400 if wrong else status)


def _member(account: Account, user_id: UUID) -> User:
    return get_object_or_404(User, uuid=user_id, memberships__account=account)
