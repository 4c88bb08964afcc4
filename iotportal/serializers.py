"""Serializers and fields that take what the schema says and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

NO_SUCH_FIELD = "There is no such field here."


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know: a misspelt name must not pass for "nothing to do"."""

    def to_internal_value(self, data: Any) -> Any:
        """Check names, then values."""
        if isinstance(data, Mapping):
            known = {name for name, field in self.fields.items() if not field.read_only}
            unknown = {str(name): [NO_SUCH_FIELD] for name in data if name not in known}
            if unknown:
                raise serializers.ValidationError(unknown)
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """Text as it was sent; a number is not text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **options})

    def to_internal_value(self, data: Any) -> str:
        """Refuse everything but text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ChoiceField(serializers.ChoiceField):
    """One of a few texts; `1` is not `"1"`."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse everything but text."""
        if not isinstance(data, str):
            self.fail("invalid_choice", input=str(data)[:40])
        return super().to_internal_value(data)


class PageSerializer(serializers.Serializer[Any]):
    """One page of a list; a subclass adds `results`."""

    next = serializers.URLField(allow_null=True, help_text="The page after this one; null on the last.")
    previous = serializers.URLField(allow_null=True, help_text="The page before this one; null on the first.")
