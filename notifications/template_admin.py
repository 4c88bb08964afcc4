"""Templates in the admin: what is shipped and what operators put in its place, with a preview before it counts."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from typing import Any

from csp.decorators import csp_update
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts.admin.base import ModelAdmin, NarrowLookups
from accounts.http import AuthedRequest
from notifications.models import Template
from notifications.services import previews, templates
from notifications.templating import drafts
from notifications.templating.events import EVENTS

_PARTS = ("subject", "text", "short", "html")
_STYLE = re.compile(r"<style>(.*?)</style>", re.S)


class TemplateForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's takes no parameter at run time
    """What is said of an event in a language."""

    event = forms.ChoiceField(choices=[(one.key, one.label) for one in EVENTS.values()])
    language = forms.ChoiceField(choices=lambda: list(templates.languages().items()))

    class Meta:
        model = Template
        fields = ("event", "language", *_PARTS)

    def clean(self) -> dict[str, Any]:
        """Make sure that it can be filled, and bring it into its normal form."""
        data = super().clean() or {}
        if self.errors:
            return data
        template = Template(**{"event": self.instance.event, "language": self.instance.language, **data})
        try:
            templates.check(template)
        except templates.TemplateRefused as error:
            self.add_error(error.field if error.field in self.fields else None, str(error))
            return data
        return {**data, **{name: getattr(template, name) for name in _PARTS}}


@admin.register(Template)
class TemplateAdmin(NarrowLookups, ModelAdmin):
    """What operators say in place of what is shipped. To go back to that, delete the row."""

    form = TemplateForm
    list_display = ("event_label", "language", "subject", "updated_at")
    list_filter = ("language",)
    fields = ("event", "language", *_PARTS)
    change_form_template = "admin/portal/template.html"
    change_list_template = "admin/portal/templates.html"

    @admin.display(description="event", ordering="event")
    def event_label(self, one: Template) -> str:
        """Say the event in words."""
        return EVENTS[one.event].label if one.event in EVENTS else one.event

    def get_readonly_fields(self, request: HttpRequest, obj: Template | None = None) -> tuple[str, ...]:
        """A template stays with its event and its language."""
        return ("event", "language") if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin with what is shipped."""
        event, language = request.GET.get("event", "device"), request.GET.get("language", "en")
        draft = drafts.shipped(event, language) or drafts.shipped(event, "en")
        if draft is None:
            return {}
        return {"event": event, "language": language, **{name: getattr(draft, name) for name in _PARTS}}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show what there is to say, too."""
        extra = {"events": list(EVENTS.values()), "languages": templates.languages(), **(extra_context or {})}
        return super().changelist_view(request, extra)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:  # fmt: skip
        """Show the variables of its event, too."""
        one = self.get_object(request, object_id) if object_id else None
        asked = request.POST if request.method == "POST" else request.GET
        event = EVENTS.get(one.event if one else asked.get("event", "device"))
        language = one.language if one else asked.get("language", "en")
        extra = {"event": event, "language": language, "variables": templates.examples(event, language) if event else []}
        return super().changeform_view(request, object_id, form_url, {**extra, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        """Add the preview."""
        view = self.admin_site.admin_view(self.preview)
        return [path("preview/", view, name="notifications_template_preview"), *super().get_urls()]

    def preview(self, request: AuthedRequest) -> HttpResponse:
        """Show what stands in the form with the examples of the variables, or mail that to who asks."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        if request.method != "POST":
            return redirect("admin:notifications_template_changelist")
        form = TemplateForm(request.POST, instance=Template())
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Preview", "form": form}
        if not _is_sound(form):
            return TemplateResponse(request, "admin/portal/template_preview.html", context, status=400)
        template = Template(**{name: form.cleaned_data[name] for name in ("event", "language", *_PARTS)})
        if "send" in request.POST:
            one = previews.send(template=template, user=request.user)
            messages.success(request, f"It is on its way to {one.recipient}.")
        shown = previews.of_template(template)
        context |= {"shown": shown, "event": EVENTS[template.event], "language": templates.languages()[template.language]}
        response = TemplateResponse(request, "admin/portal/template_preview.html", context)
        return csp_update({"style-src": [_style_of(shown.mail.html)]})(lambda _: response)(request)  # type: ignore[return-value]  # it is that response


def _is_sound(form: TemplateForm) -> bool:
    """Say whether a template can be shown; that there is one already of its event and language is no matter here."""
    return set(form.errors) <= {"__all__"}


def _style_of(html: str) -> str:
    """Return the source by which the mail's own style, and nothing else, is let in (CSP, hash-source)."""
    found = _STYLE.search(html)
    digest = sha256(found[1].encode() if found else b"").digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
