"""The shape of registrations of many devices in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices import job_files
from devices.api.serializers import DeviceIdField, HexField, NameField, ProfileField
from devices.downloads import LONGEST_PASSWORD, SHORTEST_ARCHIVE_PASSWORD
from devices.models import DeviceJob, DeviceJobLine
from devices.profiles import DEFAULT_PROFILE
from devices.wanted import HIGHEST_NUMBER, MAX_LINES
from iotportal.serializers import PageSerializer, StrictSerializer, TextField


class WholeNumberField(serializers.IntegerField):
    """A number as JSON has it: neither text nor true."""

    def to_internal_value(self, data: Any) -> int:
        """Refuse everything but a whole number."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class WantedSerializer(StrictSerializer):
    """One of many devices."""

    name = NameField()
    profile = ProfileField(required=False)


class BeginJobSerializer(StrictSerializer):
    """Which devices: either `devices`, or `pattern` and `count`."""

    account = HexField(required=False, help_text="One of /accounts that you manage; your personal one if not given.")
    profile = ProfileField(default=DEFAULT_PROFILE, initial=DEFAULT_PROFILE)
    devices = serializers.ListField(child=WantedSerializer(), required=False, min_length=1, max_length=MAX_LINES)
    pattern = TextField(required=False, max_length=80, help_text="Their names, with `{n}` where the number goes.")
    count = WholeNumberField(required=False, min_value=1, max_value=MAX_LINES)
    first = WholeNumberField(default=1, min_value=0, max_value=HIGHEST_NUMBER, help_text="The first number.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask for one of the two."""
        numbers = "pattern" in attrs or "count" in attrs
        if ("devices" in attrs) == numbers:
            raise serializers.ValidationError({"devices": ["Give either these, or pattern and count."]})
        for name in ("pattern", "count"):
            if numbers and name not in attrs:
                raise serializers.ValidationError({name: ["This field is required."]})
        if numbers and "{n}" not in attrs["pattern"]:
            raise serializers.ValidationError({"pattern": ["Say with {n} where the number goes."]})
        return attrs


class JobSerializer(serializers.ModelSerializer[DeviceJob]):
    """A registration of many devices."""

    id = HexField(read_only=True)
    account = HexField(read_only=True, source="account_id")
    total = serializers.IntegerField(read_only=True)
    registered = serializers.IntegerField(read_only=True)
    failed = serializers.IntegerField(read_only=True)

    class Meta:
        model = DeviceJob
        fields = ("id", "account", "status", "why", "total", "registered", "failed", "created_at", "ended_at")
        read_only_fields = ("status", "why", "created_at", "ended_at")


class JobPageSerializer(PageSerializer):
    """A page of jobs."""

    results = JobSerializer(many=True)


class LineSerializer(serializers.Serializer[DeviceJobLine]):
    """One line of a job."""

    number = serializers.IntegerField(help_text="From 1, in the order they were given.")
    name = serializers.CharField()
    profile = serializers.CharField()
    state = serializers.SerializerMethodField(help_text="`registered`, `failed`, `waiting`, or `left out`: the job ended before.")
    device = DeviceIdField(source="device_id", allow_null=True)
    error = serializers.CharField(help_text="Why it failed.")

    def get_state(self, line: DeviceJobLine) -> str:
        """Return what became of it."""
        return job_files.state_of(line, self.context["job"])


class JobWithLinesSerializer(JobSerializer):
    """A job with its lines."""

    archive_sha256 = serializers.CharField(read_only=True, help_text="Of the archive made last, hex; empty: none was made.")
    lines = serializers.SerializerMethodField()

    class Meta(JobSerializer.Meta):
        fields = (*JobSerializer.Meta.fields, "archive_sha256", "lines")  # type: ignore[assignment]  # more than the parent has

    @extend_schema_field(LineSerializer(many=True))
    def get_lines(self, job: DeviceJob) -> Any:
        """Return the lines."""
        shape = LineSerializer(context={"job": job})
        return [shape.to_representation(line) for line in job.lines.all()]


class ArchivePasswordSerializer(StrictSerializer):
    """The password of an archive."""

    password = TextField(min_length=SHORTEST_ARCHIVE_PASSWORD, max_length=LONGEST_PASSWORD)
