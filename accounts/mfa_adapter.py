"""How allauth's second factors meet our words, addresses and secrets."""

from __future__ import annotations

import base64
import binascii
from typing import Any, ClassVar
from urllib.parse import urlsplit

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings

from accounts.models import User
from iotportal.sealing import SealError, seal, unseal

_SEALED_FOR = b"second factor"


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth has no types
    """Secrets sealed in the database, passkeys bound to the portal's own address, our words."""

    error_messages: ClassVar[dict[str, Any]] = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "That code is not right.",
        "unverified_email": "Confirm your e-mail address first.",
    }

    def encrypt(self, text: str) -> str:
        """Return an app's secret or the seed of recovery codes as it is stored: sealed, in base64."""
        return base64.b64encode(seal(text.encode(), _SEALED_FOR)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Return what `encrypt` was given.

        Raises:
            SealError: it was sealed with another PORTAL_SEAL_KEY, or was changed since.
        """
        try:
            return unseal(base64.b64decode(encrypted_text, validate=True), _SEALED_FOR).decode()
        except (binascii.Error, ValueError) as error:
            raise SealError("It is no seal.") from error

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        """Return what a passkey is called until its owner names it."""
        return f"Passkey {Authenticator.objects.filter(user=user, type=type).count() + 1}"

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Return for which site passkeys are: the portal's own address, whatever host was asked for."""
        return {"id": urlsplit(settings.PORTAL_URL).hostname or "", "name": "IoT Portal"}
