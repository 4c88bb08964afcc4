"""Telling a form that is sent a second time, by a reload of its answer, from one that somebody fills in anew."""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest


def sent_before(request: HttpRequest) -> bool:
    """Say whether this very form was sent before; from then on it was.

    Each form that is shown has the CSRF token under a mask of its own, and a reload sends the same one again. What a program
    sends has none, and is never taken for a reload. Of two at once one is the first.
    """
    token = request.POST.get("csrfmiddlewaretoken", "")
    if not token:
        return False
    sent = hashlib.sha256(f"{request.path} {request.session.session_key} {token}".encode()).hexdigest()
    return not cache.add(f"once:{sent}", 1, timeout=settings.SESSION_COOKIE_AGE)
