"""What everybody may have of the authority: whom to trust, and what not to trust any more."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from devices import pki
from devices.models import RevocationList

_CACHED = {"Cache-Control": "public, max-age=600", "X-Content-Type-Options": "nosniff"}


@require_safe
def root_ca(request: HttpRequest) -> HttpResponse:
    """Send the root certificate, which devices trust."""
    try:
        content = pki.authority().root_pem
    except pki.PkiError:
        raise Http404("There is no authority.") from None
    return HttpResponse(content, content_type="application/x-pem-file", headers=_CACHED)


@require_safe
def revocation_list(request: HttpRequest, issuer: str) -> HttpResponse:
    """Send the revocation list of an issuing CA, DER (RFC 2585, 4)."""
    found = RevocationList.objects.filter(issuer=issuer).first()
    if found is None:
        raise Http404("There is no such list.")
    return HttpResponse(bytes(found.der), content_type="application/pkix-crl", headers=_CACHED)
