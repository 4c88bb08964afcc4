"""Rules: whom to tell when a device says something."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.crypto import get_random_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Action
from accounts.http import AuthedRequest
from accounts.selectors import memberships_of
from devices.models import Device
from messaging.selectors import account_ids
from notifications import services
from notifications.access import access_rule
from notifications.forms import RuleForm
from notifications.models import Rule
from notifications.templating.events import RULE_VARIABLES

AREA = {"area": "notifications"}


@login_required
@require_GET
@never_cache
def rules(request: AuthedRequest) -> HttpResponse:
    """Show the rules of all accounts."""
    manages = {one.account_id for one in memberships_of(request.user, Action.MANAGE)}
    mine = Rule.objects.filter(account__in=account_ids(request.user)).select_related("device", "account")
    found = list(mine.order_by("device__name", "created_at"))
    told = [
        services.estimates.row(account=one.account, recipient=one.recipient, message=None, device=one.device) for one in found
    ]
    services.templates.dress([services.rules.words_of(one, row) for one, row in zip(found, told, strict=True)])
    costs = services.estimates.sentences(told)
    context = {
        **AREA,
        "rules": [(one, one.account_id in manages, cost) for one, cost in zip(found, costs, strict=True)],
        "may_add": Device.objects.for_user(request.user, Action.MANAGE).exists(),
        "key": get_random_string(12),
    }
    return render(request, "notifications/rules.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def new(request: AuthedRequest) -> HttpResponse:
    """Make a rule."""
    if request.method == "POST" and not memberships_of(request.user, Action.MANAGE):
        raise PermissionDenied("Your role does not allow that.")
    return _form(request, None)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def edit(request: AuthedRequest, rule_id: str) -> HttpResponse:
    """Change a rule."""
    return _form(request, access_rule(request.user, rule_id, Action.MANAGE))


@login_required
@require_POST
def switch(request: AuthedRequest, rule_id: str) -> HttpResponse:
    """Switch a rule on or off."""
    rule = access_rule(request.user, rule_id, Action.MANAGE)
    try:
        services.rules.switch(rule=rule, on=request.POST.get("on") == "1")
    except services.rules.RuleRefused as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "The rule is on." if rule.enabled else "The rule is off.")
    return redirect("notifications:rules")


@login_required
@require_POST
def delete(request: AuthedRequest, rule_id: str) -> HttpResponse:
    """Delete a rule."""
    services.rules.delete(rule=access_rule(request.user, rule_id, Action.MANAGE))
    messages.success(request, "The rule is deleted.")
    return redirect("notifications:rules")


@login_required
@require_POST
def test(request: AuthedRequest, rule_id: str) -> HttpResponse:
    """Send now what a rule would say, and show what becomes of it."""
    rule = access_rule(request.user, rule_id, Action.MANAGE)
    one = services.rules.test(rule=rule, user=request.user, key=request.POST.get("key", "")[:24])
    return redirect("notifications:detail", one.hex)


def _form(request: AuthedRequest, rule: Rule | None) -> HttpResponse:
    name = f"{rule.device.name}: {rule.condition}" if rule else ""
    form = RuleForm(request.POST if request.method == "POST" else None, user=request.user, instance=rule)
    asks = "preview" in request.POST
    if request.method == "POST" and not asks and form.is_valid():
        try:
            services.rules.save(rule=form.rule(), user=request.user)
        except services.rules.RuleRefused as error:
            form.add_error(error.field, str(error))
        else:
            messages.success(request, "The rule counts from now on.")
            return redirect("notifications:rules")
    shown = services.previews.of_rule(form.so_far(), request.user)
    context = {**AREA, "form": form, "rule": rule, "name": name, "gaps": RULE_VARIABLES, "shown": shown}
    return render(request, "notifications/rule.html", context, status=400 if form.errors and not asks else 200)
