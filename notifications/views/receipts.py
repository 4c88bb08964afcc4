"""Where senders tell what became of a message; their signature is the proof that it is them."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from notifications.services import receipts

_GONE = {"failed", "undelivered"}


@csrf_exempt  # Twilio has no cookie of ours; it signs what it says
@require_POST
def twilio(request: HttpRequest) -> HttpResponse:
    """Take a status callback of Twilio."""
    if "twilio" not in settings.SENDERS.sms:
        raise Http404("There is nothing here.")
    from notifications.channels.sms.twilio import is_genuine  # loads its SDK

    form = {name: str(value) for name, value in request.POST.items()}
    if not is_genuine(settings.PORTAL_URL + request.path, form, request.headers.get("X-Twilio-Signature", "")):
        return HttpResponse(status=403)
    key, status = form.get("MessageSid", ""), form.get("MessageStatus", "")
    known = True
    if status == "delivered":
        known = receipts.delivered(sender="twilio", vendor_id=key)
    elif status in _GONE:
        known = receipts.failed(sender="twilio", vendor_id=key, detail=f"{status} {form.get('ErrorCode', '')}".strip())
    return HttpResponse(status=204 if known else 404)
