"""What the admin's pages share: looking without changing, and doing something with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.mail import MailNotTaken
from accounts.models import User

if TYPE_CHECKING:  # Django's own have no parameters at run time
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin, TabularInline = admin.ModelAdmin, admin.TabularInline

AT_ONCE = 100  # as many as a page of a list shows


_LOOKUPS = frozenset({
    "exact", "isnull", "in", "gt", "gte", "lt", "lte", "year", "month", "day", "id__exact", "id__in", "id__isnull",
})  # fmt: skip


class NarrowLookups:
    """A list that is narrowed by its own filters alone, and by `lookups`.

    Django lets an address narrow a list by any column: whoever may ask whose password's hash begins with a letter reads it.
    """

    lookups: ClassVar[tuple[str, ...]] = ()

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Say whether an address may narrow the list like this."""
        filters = [_parameter(one) for one in getattr(self, "list_filter", ())]  # a table within a page has none
        names = [*filters, getattr(self, "date_hierarchy", None), *self.lookups]
        allowed = {f"{name}__{one}" for name in names if isinstance(name, str) for one in _LOOKUPS}
        return lookup in names or lookup in allowed


def _parameter(one: Any) -> str:
    """Return the name that a filter of a list has in addresses."""
    return str(one[0] if isinstance(one, tuple) else getattr(one, "parameter_name", one))


class ReadOnlyAdmin(NarrowLookups):
    """An admin page that shows and changes nothing."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Rows come from the portal itself."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Look only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Rows go through the portal's services."""
        return False


class Refused(Exception):
    """An action that cannot be done to this object. The text says why."""


def within_reach(request: HttpRequest, user: User) -> None:
    """Keep operators from acting on each other, on superusers, and on themselves.

    Raises:
        Refused: they may not.
    """
    if user.pk == request.user.pk:
        raise Refused("Not to yourself.")
    if (user.is_staff or user.is_superuser) and not request.user.is_superuser:
        raise Refused("Only a superuser does that to somebody who works here.")


class WhyForm(forms.Form):
    """The reason for an action; it is kept as long as the log is."""

    why = forms.CharField(
        label="Reason", max_length=200, help_text="Stands in the admin log beside your name. No passwords or codes, please."
    )

    @property
    def besides(self) -> dict[str, Any]:
        """What was asked for besides the reason."""
        return {name: value for name, value in self.cleaned_data.items() if name != "why"}


Act = Callable[..., None]
Action = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]


def asks_why(description: str, *, says: str, form: type[WhyForm] = WhyForm, only_mail: bool = False) -> Callable[[Act], Action]:
    """Make an action of the list and of the single page that asks for a reason, then acts on each object and logs both.

    The method takes the request, one object, and by name what `form` asks for besides the reason. It calls a service, and raises
    `Refused` where it cannot be done; then neither the change nor the line in the log stays. `says`: what will happen.
    `only_mail`: the act is nothing but a mail, and is logged once the queue has taken it.
    """

    def decorate(act: Act) -> Action:
        @admin.action(description=description, permissions=["act"])
        @wraps(act)
        def action(self: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
            asked = form(request.POST if "confirmed" in request.POST else None)
            chosen = list(queryset[: AT_ONCE + 1])
            if len(chosen) > AT_ONCE:
                messages.error(request, f"At most {AT_ONCE} at once.")
                return None
            if asked.is_bound and asked.is_valid():
                done = sum(_done(self, request, one, act, description, asked, only_mail) for one in chosen)
                if done:
                    messages.success(request, f"{description}: done for {done}.")
                return None
            return _ask(self, request, chosen, action=act.__name__, title=description, says=says, form=asked)

        return action

    return decorate


def _done(
    model_admin: Any, request: HttpRequest, one: Model, act: Act, description: str, asked: WhyForm, only_mail: bool
) -> bool:
    """Act on one object and log it, both or neither; say so where it was refused."""
    subject, which = model_admin.in_log(one)
    done = " ".join([description, which]).strip()
    words = [f"{done}: {asked.cleaned_data['why']}", *(f"{name} {value}" for name, value in asked.besides.items())]
    log = partial(model_admin.log_change, request, subject, "; ".join(words))
    try:
        if only_mail:  # in a transaction it would be too late to hear that it was not taken
            act(model_admin, request, one, **asked.besides)
            log()
            return True
        with transaction.atomic():
            log()  # first: what is deleted has no id any more
            act(model_admin, request, one, **asked.besides)
    except Refused as error:
        messages.error(request, f"{one}: {error}")
        return False
    except MailNotTaken:
        messages.error(request, f"{one}: the mail could not be sent. Wait a minute, then try again.")
        return False
    return True


def _ask(model_admin: Any, request: HttpRequest, chosen: Sequence[Model], **words: Any) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "chosen": chosen,
        "checkbox": ACTION_CHECKBOX_NAME,
        "back": reverse(f"admin:{model_admin.opts.app_label}_{model_admin.opts.model_name}_changelist"),
        **words,
    }
    return TemplateResponse(request, "admin/portal/ask_why.html", context, status=400 if words["form"].errors else 200)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A table at the foot of an object's page: a few rows, and where all are."""

    title: str
    head: tuple[str, ...]
    rows: Iterable[tuple[object, ...]]
    more: str = ""


class Acting(NarrowLookups, ModelAdmin):
    """An admin page of objects that are acted upon with a reason, by those who have `act_permission`; shows `shelves`, too."""

    act_permission: ClassVar[str]
    shelves: ClassVar[list[Callable[[Any], Shelf]]] = []
    change_form_template: ClassVar[Any] = "admin/portal/object.html"

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Say whether the operator may do what there is to do here."""
        return bool(request.user.has_perm(self.act_permission))

    def in_log(self, one: Any) -> tuple[Model, str]:
        """Return beside what an act on `one` stands in the admin's log, and what to call `one` there if that is something else.

        What belongs to a person stands beside the person, and is not called what they called it: when they are erased, their
        name is taken out of the log by their id, and nothing else of theirs is left in it.
        """
        return one, ""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add the buttons and the shelves."""
        one = self.get_object(request, object_id)
        found = [one for one in self.get_actions(request).values() if one is not None]
        acts = [(name, label) for _, name, label in found if name != "delete_selected"]
        shelves = [shelf(one) for shelf in self.shelves] if one is not None else []
        extra = {"acts": acts, "shelves": shelves, "checkbox": ACTION_CHECKBOX_NAME, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, extra)
