"""Who may be written to: the list, and the pages behind the links in mails."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.crypto import get_random_string
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import Action
from accounts.http import AuthedRequest
from accounts.models import Account
from accounts.selectors import memberships_of
from messaging.selectors import account_ids
from notifications import links, services
from notifications.access import access_recipient
from notifications.forms import RecipientForm
from notifications.models import Recipient, Suppression

AREA = {"area": "notifications"}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def recipients(request: AuthedRequest) -> HttpResponse:
    """Show who may be written to besides the account's own people, and add somebody."""
    owners = [one.account for one in memberships_of(request.user, Action.MANAGE)]
    form = RecipientForm(request.POST if request.method == "POST" else None, owners=owners)
    if request.method == "POST" and not owners:
        raise PermissionDenied("Your role does not allow that.")
    if request.method == "POST" and form.is_valid():
        try:
            services.recipients.add(account=form.owner, text=form.cleaned_data["address"], user=request.user)
        except services.recipients.RecipientRefused as error:
            form.add_error("address", str(error))
        else:
            messages.success(request, "Asked. It can be written to once the link in the mail was followed.")
            return redirect("notifications:recipients")
    accounts = account_ids(request.user)
    manages = {one.pk for one in owners}
    added = list(Recipient.objects.filter(account__in=accounts).select_related("account"))
    costs = services.estimates.sentences([
        services.estimates.row(account=one.account, recipient=one.spelled, message="") for one in added
    ])  # fmt: skip
    context = {
        **AREA,
        "form": form,
        "owners": owners,
        "manages": manages,
        "recipients": [(one, one.account_id in manages, cost) for one, cost in zip(added, costs, strict=True)],
        "key": get_random_string(12),
        "suppressed": Suppression.objects.filter(account__in=accounts).select_related("account"),
    }
    return render(request, "notifications/recipients.html", context, status=400 if form.errors else 200)


@login_required
@require_POST
def remove(request: AuthedRequest, recipient_id: str) -> HttpResponse:
    """Take an address out of the list."""
    access_recipient(request.user, recipient_id, Action.MANAGE).delete()
    messages.success(request, "Taken out of the list.")
    return redirect("notifications:recipients")


@login_required
@require_POST
def ask(request: AuthedRequest, recipient_id: str) -> HttpResponse:
    """Send the link to confirm again."""
    recipient = access_recipient(request.user, recipient_id, Action.MANAGE)
    try:
        services.recipients.ask(recipient=recipient, user=request.user)
    except services.recipients.RecipientRefused as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Asked again.")
    return redirect("notifications:recipients")


@login_required
@require_POST
def test(request: AuthedRequest, recipient_id: str) -> HttpResponse:
    """Write to one now, and show what becomes of it."""
    recipient = access_recipient(request.user, recipient_id, Action.MANAGE)
    one = services.recipients.test(recipient=recipient, user=request.user, key=request.POST.get("key", "")[:24])
    return redirect("notifications:detail", one.hex)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def confirm(request: HttpRequest, secret: str) -> HttpResponse:
    """Ask whoever follows the link for a yes: programs that look through mails follow links, but press no buttons."""
    try:
        account_id, channel, address = links.read_confirm(secret)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise Http404("There is nothing here.") from error
    done = request.method == "POST"
    if done and not services.recipients.confirm(account_id=account_id, channel=channel, address=address):
        raise Http404("There is nothing here.")
    context = {"account": _account(account_id), "address": address, "done": done}
    return render(request, "notifications/confirm.html", context)


@csrf_exempt  # a mail program presses the button for its reader (RFC 8058), without a cookie of ours; the link is the proof
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def unsubscribe(request: HttpRequest, secret: str) -> HttpResponse:
    """Take the no of whoever holds the link."""
    try:
        account_id, channel, address = links.read_unsubscribe(secret)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise Http404("There is nothing here.") from error
    done = request.method == "POST"
    if done:
        services.recipients.unsubscribe(account_id=account_id, channel=channel, address=address)
    context = {"account": _account(account_id), "address": address, "done": done}
    return render(request, "notifications/unsubscribe.html", context)


def _account(account_id: UUID) -> Account:
    found = Account.objects.filter(pk=account_id).first()
    if found is None:
        raise Http404("There is nothing here.")
    return found
