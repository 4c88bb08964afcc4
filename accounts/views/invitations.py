"""Invitations: given, and taken."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import services
from accounts.access import Action, roles_up_to
from accounts.http import AREA, AuthedRequest
from accounts.models import Invitation, Role, User
from accounts.organisation_forms import InvitationForm
from accounts.views.organisations import access_organisation, page, refused

_KEY = "invitation"  # in the session: the id of the invitation whose link was followed


@login_required
@require_POST
def invite(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Invite an address."""
    mine = access_organisation(request, account_id, Action.MANAGE)
    form = InvitationForm(request.POST, reach=roles_up_to(mine.role))
    if not form.is_valid():
        return page(request, mine, invitation_form=form)
    try:
        invitation = services.invite(account=mine.account, by=request.user, **form.cleaned_data)
    except (services.AlreadyInvited, services.AlreadyMember) as error:
        form.add_error("email", str(error))
        return page(request, mine, invitation_form=form)
    except services.OrganisationError as error:
        return refused(request, mine, error)
    messages.success(request, f"An invitation is on its way to {invitation.email}.")
    return redirect("accounts:organisation", account_id)


@login_required
@require_POST
def resend(request: AuthedRequest, account_id: UUID, invitation_id: UUID) -> HttpResponse:
    """Send it again."""
    return _change(
        request, account_id, invitation_id, services.resend_invitation, "A new link is on its way to {}; the old one has ended."
    )


@login_required
@require_POST
def withdraw(request: AuthedRequest, account_id: UUID, invitation_id: UUID) -> HttpResponse:
    """Take it back."""
    return _change(request, account_id, invitation_id, services.withdraw_invitation, "The invitation of {} is withdrawn.")


def _change(
    request: AuthedRequest, account_id: UUID, invitation_id: UUID, change: Callable[..., object], said: str
) -> HttpResponse:
    """Do something to an invitation of the organisation, and say so; `said` has a place for its address."""
    mine = access_organisation(request, account_id, Action.MANAGE)
    invitation = get_object_or_404(Invitation, pk=invitation_id, account=mine.account)
    try:
        change(invitation=invitation, by=request.user)
    except services.OrganisationError as error:
        return refused(request, mine, error)
    messages.success(request, said.format(invitation.email))
    return redirect("accounts:organisation", account_id)


@never_cache
@require_safe
def follow(request: HttpRequest, secret: str) -> HttpResponse:
    """Take the secret of a link out of the address bar: only the session remembers which invitation it was."""
    invitation = services.find_invitation(secret)
    if invitation is None:
        return _ended(request)
    request.session[_KEY] = str(invitation.pk)
    return redirect("invitation")


@never_cache
@require_safe
def invitation(request: HttpRequest) -> HttpResponse:
    """Show the invitation whose link this browser followed, and what to do next."""
    key = request.session.get(_KEY)
    found = services.open_invitations().filter(pk=str(key)).first() if key else None
    if found is None:
        return _ended(request)
    user = request.user if isinstance(request.user, User) else None
    context = {
        **AREA,
        "invitation": found,
        "may": Role(found.role).may,
        "fits": user is not None and services.is_invited(found, user),
        "next": urlencode({"next": reverse("invitation")}),
        "sign_up": urlencode({"next": reverse("invitation"), "email": found.email}),
    }
    return render(request, "accounts/invitation.html", context)


@login_required
@require_POST
def accept(request: AuthedRequest, invitation_id: UUID) -> HttpResponse:
    """Become a member."""
    found = _to(request.user, invitation_id)
    try:
        services.accept_invitation(invitation=found, user=request.user)
    except services.TooManyMembers as error:
        messages.error(request, f"{error} There is no room for you now.")
        return redirect("accounts:account")
    except services.OrganisationError:
        return _ended(request)
    request.session.pop(_KEY, None)
    messages.success(request, f"You are a member of {found.account.name} now.")
    return redirect("accounts:organisation", found.account_id)


@login_required
@require_POST
def decline(request: AuthedRequest, invitation_id: UUID) -> HttpResponse:
    """Turn it down."""
    found = _to(request.user, invitation_id)
    try:
        services.decline_invitation(invitation=found, user=request.user)
    except services.OrganisationError:
        return _ended(request)
    request.session.pop(_KEY, None)
    messages.success(request, f"You declined the invitation to {found.account.name}.")
    return redirect("accounts:account")


def _to(user: User, invitation_id: UUID) -> Invitation:
    """Return an invitation to one of the user's addresses. Raises Http404."""
    invitation = Invitation.objects.select_related("account").filter(pk=invitation_id).first()
    if invitation is None or not services.is_invited(invitation, user):
        raise Http404("No such invitation.")
    return invitation


def _ended(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/invitation_ended.html", AREA, status=404)
