"""Registering many devices: what is wanted, how far it is, and the files at the end."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Action
from accounts.http import AuthedRequest
from devices import job_files, selectors, services
from devices.access import access_job
from devices.forms import ArchivePasswordForm
from devices.job_forms import ManyForm
from devices.models import DeviceJob
from devices.views.common import AREA, owners_for
from devices.views.files import as_response
from devices.wanted import LinesRefused, ListRefused

PROBLEMS_SHOWN = 30


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def register_many(request: AuthedRequest) -> HttpResponse:
    """Say which devices, and begin to register them."""
    owners = owners_for(request.user)
    profiles = [one.profile for one in selectors.profiles_offered(owners)]
    form = ManyForm(request.POST or None, request.FILES or None, owners=owners, profiles=profiles)
    problems: LinesRefused | None = None
    if request.method == "POST" and form.is_valid():
        try:
            job = services.begin_job(account=form.owner, wanted=form.wanted(), by=request.user)
        except LinesRefused as error:
            problems = error
        except (ListRefused, services.JobUnderWay) as error:
            form.add_error(None, str(error))
        else:
            return redirect("devices:job", job.hex)
    context = {
        **AREA,
        "form": form,
        "problems": problems.problems[:PROBLEMS_SHOWN] if problems else [],
        "more_problems": max(0, len(problems.problems) - PROBLEMS_SHOWN) if problems else 0,
        "refused": problems,
        "jobs": DeviceJob.objects.filter(account__in=owners).select_related("account")[:10],
    }
    return render(request, "devices/register_many.html", context, status=400 if form.errors or problems else 200)


@login_required
@require_GET
@never_cache
def job(request: AuthedRequest, job_id: str) -> HttpResponse:
    """Show how far a job is, and when it is over what to take home."""
    found = access_job(request.user, job_id)
    answer = _page(request, found)
    if "HX-Request" in request.headers and found.status != DeviceJob.Status.RUNNING:
        answer["HX-Refresh"] = "true"  # what follows is more than the bar
    return answer


def _page(request: AuthedRequest, found: DeviceJob, form: ArchivePasswordForm | None = None, reason: str = "") -> HttpResponse:
    shown = form or ArchivePasswordForm(initial={"password": job_files.new_password()})
    context = {
        **AREA,
        "job": found,
        "progress": selectors.job_progress(found),
        "may": selectors.job_may_manage(request.user, found),
        "form": shown,
        "command": job_files.open_command(found),
        "archive": job_files.archive_name(found),
        "reason": reason,
    }
    status = 409 if reason else 400 if shown.errors else 200
    return render(request, "devices/job.html", context, status=status)


@login_required
@require_POST
def cancel_job(request: AuthedRequest, job_id: str) -> HttpResponse:
    """End a job; what it has made stays."""
    services.cancel_job(job=access_job(request.user, job_id, Action.MANAGE))
    return redirect("devices:job", job_id)


@login_required
@require_GET
@never_cache
def job_result(request: AuthedRequest, job_id: str) -> HttpResponse:
    """Send what became of each line."""
    return as_response(job_files.result_csv(access_job(request.user, job_id)))


@login_required
@require_POST
@never_cache
def job_archive(request: AuthedRequest, job_id: str) -> HttpResponse:
    """Send the devices' files as one file that is encrypted with the password of the form."""
    found = access_job(request.user, job_id, Action.MANAGE)
    form = ArchivePasswordForm(request.POST)
    if not form.is_valid():
        return _page(request, found, form)
    try:
        return as_response(job_files.archive(found, form.cleaned_data["password"]))
    except services.KeyUnavailable as error:
        return _page(request, found, reason=str(error))
