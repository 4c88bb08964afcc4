"""OpenID Connect beyond what allauth checks: the nonce, whose userinfo it is, and which provider answered.

https://openid.net/specs/openid-connect-core-1_0.html, https://www.rfc-editor.org/rfc/rfc9207
"""

from __future__ import annotations

import secrets
from typing import Any

from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

_CONFIGURATION_S = 300
_NEEDED = ("issuer", "authorization_endpoint", "token_endpoint")


def new_nonce() -> str:
    """Return what ties an ID token to the sign-in that asked for it."""
    return secrets.token_urlsafe(24)


class OidcAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # allauth has no types
    """Talks to one provider."""

    state: dict[str, Any]  # of the sign-in, once its answer is here

    @property
    def openid_config(self) -> dict[str, Any]:
        """The provider's own description, kept for some minutes: anybody may ask for sign-ins.

        Raises:
            OAuth2Error: it describes another provider than it was asked for (Discovery 1.0, 4.3), or nothing usable.
        """
        where = self.get_provider().server_url
        name = f"accounts:oidc:{where}"
        found: dict[str, Any] | None = cache.get(name)
        if found is None:
            found = super().openid_config
            issuer = where.partition("/.well-known/")[0]
            if not all(isinstance(found.get(key), str) for key in _NEEDED) or found["issuer"].rstrip("/") != issuer.rstrip("/"):
                raise OAuth2Error("The provider describes another one than it was asked for.")
            cache.set(name, found, _CONFIGURATION_S)
        return found

    def check_answer(self, request: HttpRequest) -> None:
        """See that this provider answered, where it says who it is (RFC 9207).

        Raises:
            OAuth2Error: another one did, or it does not say although it always does.
        """
        said = request.GET.get("iss")
        says = self.openid_config.get("authorization_response_iss_parameter_supported") is True
        if (said is not None or says) and said != self.openid_config["issuer"]:
            raise OAuth2Error("Another provider answered.")

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any) -> SocialLogin:
        """Read who it is from the ID token, and more about them from the provider.

        Raises:
            OAuth2Error: there is no ID token, it answers another question, or the rest is about somebody else (Core 1.0, 5.3.2).
        """
        id_token = kwargs["response"].get("id_token")
        if not id_token:
            raise OAuth2Error("No ID token.")
        claims = self._decode_id_token(app, id_token)
        if not constant_time_compare(str(claims.get("nonce", "")), str(self.state.get("nonce") or "none")):
            raise OAuth2Error("The ID token answers another question.")
        if not isinstance(claims.get("sub"), str):
            raise OAuth2Error("The ID token is nobody's.")
        data = {"id_token": claims}
        if "userinfo_endpoint" in self.openid_config:
            data["userinfo"] = self._fetch_user_info(token.token)
            if data["userinfo"].get("sub") != claims["sub"]:
                raise OAuth2Error("The userinfo is somebody else's.")
        return self.get_provider().sociallogin_from_response(request, data)
