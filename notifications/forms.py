"""The forms of notifications."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar
from uuid import UUID

from django import forms

from accounts.access import Action
from accounts.models import Account, User
from devices.access import parse_device_id
from devices.models import Device
from iotportal.forms import LongSelect
from iotportal.outward import URL_CHARACTERS
from messaging.selectors import account_ids
from notifications.models import ADDRESS_CHARACTERS, Channel, Comparison, Rule, Status
from notifications.selectors import Filter


class LogForm(forms.Form):
    """The filter of the log; all of it is optional."""

    q = forms.CharField(label="Search", required=False, max_length=100)
    device = forms.CharField(label="Device", required=False, max_length=36)
    status = forms.ChoiceField(label="State", required=False, choices=[("", "Every state"), *Status.choices])
    channel = forms.ChoiceField(label="Way", required=False, choices=[("", "Every way"), *Channel.choices])

    def __init__(self, data: Any, *, user: User) -> None:
        super().__init__(data, auto_id="n-%s")
        self.user = user
        self.found: Device | None = None

    def clean_device(self) -> UUID | None:
        """Find the device among those of the user's accounts, deleted ones too."""
        text = self.cleaned_data["device"]
        if not text:
            return None
        readable = Device.objects.filter(account_id__in=account_ids(self.user))
        key = parse_device_id(text)
        self.found = readable.filter(pk=key).first() if key else None
        if self.found is None:
            raise forms.ValidationError("You have no such device.")
        return self.found.pk

    @property
    def wanted(self) -> Filter:
        """What a valid form asks for."""
        data = self.cleaned_data
        return Filter(data.get("device"), data.get("status", ""), data.get("channel", ""), data.get("q", ""))


class OwnerForm(forms.Form):
    """Something to add to an account that its user manages."""

    account = forms.ChoiceField(label="For")

    def __init__(self, data: Any = None, *, owners: list[Account]) -> None:
        super().__init__(data, auto_id="r-%s")
        self.owners = {one.pk.hex: one for one in owners}
        field = self.fields["account"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [(key, one.name) for key, one in self.owners.items()]
        if len(owners) == 1:
            field.required = False

    @property
    def owner(self) -> Account:
        """The account that was chosen; there may be but one."""
        return self.owners.get(self.cleaned_data.get("account") or "") or next(iter(self.owners.values()))


class RecipientForm(OwnerForm):
    """An address to add, and in whose name."""

    address = forms.CharField(label="E-mail address", max_length=ADDRESS_CHARACTERS)

    field_order = ("address", "account")


class NamedForm(OwnerForm):
    """A webhook or another service: what it is called, where it leads, and whose it is."""

    name = forms.CharField(label="Name", max_length=40)
    url = forms.CharField(label="URL", max_length=URL_CHARACTERS)

    field_order = ("name", "url", "account")


_SHOWN = ("api", "field", "comparison", "value", "recipient", "message")  # by which the words of a rule can differ


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's takes no parameter at run time
    """What a rule waits for, and whom it tells."""

    class Meta:
        model = Rule
        fields = (
            "device", "api", "field", "comparison", "value", "only_field", "only_value", "recipient", "message", "every_minutes",
            "urgent",
        )  # fmt: skip
        labels: ClassVar = {
            "api": "What it says", "field": "Field", "comparison": "When it", "value": "Value", "only_field": "Only where",
            "only_value": "is", "recipient": "Tell", "message": "With these words", "every_minutes": "At most once in",
            "urgent": "Also in quiet hours",
        }  # fmt: skip
        widgets: ClassVar = {"device": LongSelect, "message": forms.Textarea(attrs={"rows": 2})}

    def __init__(self, data: Any = None, *, user: User, instance: Rule | None = None) -> None:
        super().__init__(data, instance=instance, auto_id="r-%s")
        mine = Device.objects.for_user(user, Action.MANAGE).order_by("name")
        if instance is not None:  # a rule stays with its account
            mine = mine.filter(account=instance.account_id)
        self._mine = mine
        comparison = self.fields["comparison"]
        if isinstance(comparison, forms.ChoiceField):
            comparison.choices = Comparison.choices  # one of them is always chosen
        self.fields["field"].required = False  # where a command fails there is none
        device = self.fields["device"]
        if isinstance(device, forms.ModelChoiceField):
            device.queryset, device.empty_label = mine, None
            device.to_field_name = "pk"
            device.choices = cache(lambda: [(str(key), name) for key, name in mine.values_list("pk", "name")])

    def so_far(self) -> Rule | None:
        """Return what there is of a rule, whether or not it would be taken, to be shown and not kept; None without a device."""
        if self.is_bound:
            self.is_valid()
            device, given = self.cleaned_data.get("device"), self.cleaned_data
        else:
            device, given = self._first_device(), {name: getattr(self.instance, name) for name in _SHOWN}
        said = {name: given.get(name) or "" for name in _SHOWN}
        return Rule(device=device, account_id=device.account_id, **said) if device else None

    def _first_device(self) -> Device | None:
        found: Device | None = self.instance.device if self.instance.device_id else self._mine.first()
        return found

    def rule(self) -> Rule:
        """Return the rule as a valid form has it, not kept yet."""
        found: Rule = self.instance
        found.account_id = found.device.account_id
        return found
