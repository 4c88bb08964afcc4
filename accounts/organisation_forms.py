"""Forms of organisations; what may be, the services say."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.forms import dress, plain_names
from accounts.models import Role
from accounts.services.organisations import NAME_LENGTH
from accounts.validators import validate_plain_address
from iotportal.time_zones import time_zones


class NameForm(forms.Form):
    """An organisation's name."""

    name = forms.CharField(max_length=NAME_LENGTH, error_messages={"required": "Give it a name."})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, name="off")


class TimeZoneForm(forms.Form):
    """In which time zone an organisation counts its months."""

    time_zone = forms.ChoiceField(choices=time_zones)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, time_zone="off")


class RoleForm(forms.Form):
    """A role out of those that may be handed out."""

    role = forms.ChoiceField(error_messages={"invalid_choice": "You cannot hand out that role."})

    def __init__(self, *args: Any, reach: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["role"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101  # mypy sees a Field
        field.choices = [(str(role), str(role.label)) for role in reach]


class InvitationForm(RoleForm):
    """Whom to invite, as what."""

    email = forms.EmailField(label="E-mail", max_length=254, validators=[validate_plain_address])
    field_order = ("email", "role")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, email="off")
        plain_names(self)
