"""The shape of certificates and their requests in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices.api.serializers import KEY_ALGORITHMS, CsrField, DeviceIdField, HexField
from devices.downloads import LONGEST_PASSWORD, SHORTEST_PASSWORD
from devices.models import Certificate
from devices.pki import KeyAlgorithm
from iotportal.serializers import ChoiceField, PageSerializer, StrictSerializer, TextField


class CertificateSerializer(serializers.ModelSerializer[Certificate]):
    """A certificate of a device."""

    id = HexField(read_only=True)
    device = DeviceIdField(source="device_id", read_only=True)
    key_kept = serializers.SerializerMethodField(help_text="The portal has a sealed copy of the private key.")
    revocation_reason = serializers.SerializerMethodField(help_text="Null unless it is revoked.")
    certificate = serializers.CharField(source="pem", read_only=True, help_text="PEM.")

    class Meta:
        model = Certificate
        fields = (
            "id", "device", "status", "serial", "fingerprint", "issuer", "key_algorithm", "key_bits", "key_origin", "key_kept",
            "not_before", "not_after", "created_at", "used_at", "retires_at", "revoked_at", "revocation_reason", "tried_at",
            "rescued_until", "shared_at", "certificate",
        )  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {  # noqa: RUF012  # DRF's own way
            "status": {"help_text": "`retiring`: good beside a newer one, until `retires_at` or until that has been seen."},
            "serial": {"help_text": "Hex."},
            "fingerprint": {"help_text": "SHA-256 of the DER form, hex."},
            "issuer": {"help_text": "Key identifier of the issuing CA, hex."},
            "key_origin": {"help_text": "`device`: the key was made on the device and has never been here."},
            "used_at": {"help_text": "When the device was first seen with it."},
            "tried_at": {"help_text": "When the device last came with it after its end, and was refused."},
            "rescued_until": {"help_text": "Until then it is let in although it has ended."},
            "shared_at": {"help_text": "When it was last seen in use in two places at once."},
        }

    def get_key_kept(self, certificate: Certificate) -> bool:
        """Say whether the key can be downloaded."""
        return certificate.sealed_key is not None

    @extend_schema_field({"type": "string", "enum": Certificate.Reason.values, "nullable": True})
    def get_revocation_reason(self, certificate: Certificate) -> str | None:
        """Return the reason."""
        return certificate.revocation_reason or None


class CertificatePageSerializer(PageSerializer):
    """Certificates, the oldest first."""

    results = CertificateSerializer(many=True)


class IssuedSerializer(CertificateSerializer):
    """A new certificate with what the device needs beside it, as PEM."""

    root_ca = serializers.CharField(help_text="The certificate that the broker's certificate goes back to.")
    private_key = serializers.CharField(allow_null=True, help_text="PKCS #8, not encrypted; null: it never left the device.")

    class Meta(CertificateSerializer.Meta):
        fields = (*CertificateSerializer.Meta.fields, "root_ca", "private_key")  # type: ignore[assignment]  # more than the parent has
        read_only_fields = fields  # type: ignore[assignment]  # longer than the parent's


class RenewSerializer(StrictSerializer):
    """Which key the new certificate is for."""

    key_algorithm = ChoiceField(
        choices=KEY_ALGORITHMS, default=str(KeyAlgorithm.EC), initial=str(KeyAlgorithm.EC), help_text="`ec` is P-256."
    )
    csr = CsrField()


class RevokeSerializer(StrictSerializer):
    """Why a certificate is revoked."""

    reason = ChoiceField(
        choices=Certificate.Reason.choices,
        default=str(Certificate.Reason.UNSPECIFIED),
        initial=str(Certificate.Reason.UNSPECIFIED),
        help_text="As RFC 5280 names them. After `superseded` and `cessation_of_operation` the key may be used again.",
    )


class PasswordSerializer(StrictSerializer):
    """The password of a file."""

    password = TextField(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)


class NothingSerializer(StrictSerializer):
    """An empty object."""

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Return it."""
        return {}
