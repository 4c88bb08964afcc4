"""Second factors as tests use them: an app and its codes, recovery codes, a passkey in memory."""

from __future__ import annotations

import html
import json
import re
import secrets
import time
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from django.test import Client
from fido2.cose import ES256
from fido2.utils import sha256, websafe_decode, websafe_encode
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData

from accounts.models import User
from accounts.services.factors import STEP_S


def add_app(user: User) -> str:
    """Give `user` an app and return its secret."""
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return str(secret)


def app_code(secret: str, steps: int = 0) -> str:
    """Return what the app shows now, or so many steps of 30 s later."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // STEP_S + steps)))


def wrong_code(secret: str) -> str:
    """Return six digits that the app shows neither now nor soon."""
    near = {app_code(secret, steps) for steps in range(-3, 4)}
    return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)


def add_recovery_codes(user: User) -> list[str]:
    """Give `user` recovery codes and return them."""
    return list(RecoveryCodes.activate(user).get_unused_codes())


def authenticator(user: User, kind: str) -> Authenticator:
    """Return the row of the one authenticator of that kind."""
    return Authenticator.objects.get(user=user, type=kind)


def confirm_lately(client: Client, user: User, seconds_ago: float = 0) -> None:
    """Have `user` confirmed in this browser that it is them."""
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time() - seconds_ago, "reauthenticated": True}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


class SoftPasskey:
    """A passkey in memory, which does what it is told, and can be told to do wrong."""

    def __init__(self, origin: str = "http://localhost", site: str = "localhost", verified: bool = True) -> None:
        self.origin, self.site, self.verified = origin, site, verified
        self.id = secrets.token_bytes(32)
        self.user = b""
        self._key = ec.generate_private_key(ec.SECP256R1())

    def create(self, options: dict[str, Any]) -> str:
        """Answer what a page asks a new passkey for, as its script posts it."""
        wanted = options["publicKey"]
        self.user = websafe_decode(wanted["user"]["id"])
        key = ES256.from_cryptography_key(self._key.public_key())  # type: ignore[no-untyped-call]  # fido2 has it so
        flags = self._flags() | AuthenticatorData.FLAG.AT
        credential = AttestedCredentialData.create(Aaguid.NONE, self.id, key)
        data = AuthenticatorData.create(sha256(self.site.encode()), flags, 0, bytes(credential))
        return self._credential(
            clientDataJSON=self._said("webauthn.create", wanted["challenge"]),
            attestationObject=bytes(AttestationObject.create("none", data, {})),
        )

    def get(self, options: dict[str, Any], user: bytes | None = None) -> str:
        """Answer what a page asks a passkey for; `user` is whom it claims to be."""
        said = self._said("webauthn.get", options["publicKey"]["challenge"])
        data = AuthenticatorData.create(sha256(self.site.encode()), self._flags(), 0)
        return self._credential(
            clientDataJSON=said,
            authenticatorData=bytes(data),
            signature=self._key.sign(bytes(data) + sha256(said), ec.ECDSA(SHA256())),
            userHandle=self.user if user is None else user,
        )

    def _flags(self) -> AuthenticatorData.FLAG:
        present = AuthenticatorData.FLAG.UP
        return present | AuthenticatorData.FLAG.UV if self.verified else present

    def _said(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()

    def _credential(self, **response: bytes) -> str:
        shown = websafe_encode(self.id)
        return json.dumps(
            {
                "id": shown,
                "rawId": shown,
                "type": "public-key",
                "clientExtensionResults": {"credProps": {"rk": True}},
                "response": {name: websafe_encode(value) for name, value in response.items()},
            }
        )


def options_of(page: Any) -> dict[str, Any]:
    """Return what a page asks the browser's passkeys for."""
    found = re.search(r'data-options="([^"]+)"', page.content.decode())
    assert found, page.content.decode()[:2000]
    options: dict[str, Any] = json.loads(html.unescape(found[1]))
    return options


def add_passkey(client: Client, user: User, name: str = "Blue key", **how: Any) -> SoftPasskey:
    """Have `user` add a passkey on the page for that."""
    confirm_lately(client, user)
    passkey = SoftPasskey(**how)
    credential = passkey.create(options_of(client.get("/account/passkeys/new/")))
    response = client.post("/account/passkeys/new/", {"name": name, "credential": credential})
    assert response.status_code in {200, 302}, response.content.decode()
    return passkey
