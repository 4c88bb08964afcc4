"""Where payment providers tell us what happened. Open to everybody, so nothing is believed before the provider was asked."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts.limits import Limit
from billing.models import Provider
from billing.providers import ProviderUnavailable, provider_named
from billing.providers.paypal_orders import SIGNED
from billing.services import notices

_LIMIT = Limit("payment_notice", "600/m/key")  # of one address; PayPal repeats what it was not allowed to say


@csrf_exempt
@require_POST
def ipn(request: HttpRequest) -> HttpResponse:
    """Take an IPN of PayPal; 503 asks for it again."""
    return _take(request, Provider.PAYPAL_STANDARD, {})


@csrf_exempt
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """Take a webhook of PayPal; 503 asks for it again."""
    headers = {name: request.headers.get(f"paypal-{name}", "")[:1000] for name in SIGNED}
    return _take(request, Provider.PAYPAL_ORDERS, headers)


def _take(request: HttpRequest, provider: Provider, headers: dict[str, str]) -> HttpResponse:
    # Where it is not set up anybody could have the portal ask PayPal something. Where it is, the money of old orders still moves,
    # though new ones go elsewhere or nothing is for sale any more.
    if provider_named(provider).missing():
        raise Http404("Nothing is for sale here.")
    address = get_adapter(request).get_client_ip(request)
    if int(request.META.get("CONTENT_LENGTH") or 0) > notices.MAX_BYTES or len(request.body) > notices.MAX_BYTES:
        return HttpResponse(status=413)
    if not _LIMIT.allow(address):
        return HttpResponse(status=429, headers={"Retry-After": "60"})
    try:
        notices.receive_notice(provider=provider, body=request.body, headers=headers, address=address)
    except ProviderUnavailable:
        return HttpResponse(status=503, headers={"Retry-After": "60"})
    except notices.NotKept:  # no 200, so that the provider says it again should it have been wrong
        return HttpResponse(status=429, headers={"Retry-After": "3600"})
    return HttpResponse(status=200)
