"""Every address of the portal, with every method, in every role: what is answered.

The table names every pattern of the URL map; a new one fails this test until somebody has said here what it answers.

The device, and everything that hangs on it, belongs to an organisation:

    anonymous  not signed in
    stranger   signed in, no member
    viewer     a member who may look
    operator   a member who may send commands
    owner      a member who may do all; what one person alone can own (a token, a session) is the owner's too
    staff      works for the portal (the admin pages); a stranger to every device

The words of a row say what those who are signed in get, from the stranger up to the owner. Words may be left out where nothing
changes: "200" everybody, "404 200" stranger and members, "404 403 200" stranger, viewer, and operator with owner, "404 403 403
200" each. What the staff gets on pages and in the API is what the stranger gets.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts.models import Account, ApiToken, Invitation, Membership, Role, User
from accounts.services import create_token, create_user, log_in
from accounts.services.sessions import session_id
from billing.tests.helpers import fill_billing, forget_billing, forget_orders, make_order
from devices.models import Certificate, DeviceJob
from devices.profile_documents import blank
from devices.services import make_profile
from messaging import cache
from notifications.models import Notification, Recipient, Suppression
from tests.api.live import DEADLINE_S, LivePortal, committed, live_portal, until

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.xdist_group("url walk")]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ROLES = ("anonymous", "stranger", "viewer", "operator", "owner", "staff")
Statuses = tuple[int, ...]  # one for each of ROLES


@dataclass(frozen=True)
class Row:
    """What one pattern answers: by method, and to all other methods."""

    named: dict[str, Statuses]
    rest: Statuses
    fresh: bool = False  # the owner's requests take something away, so each gets a thing of its own

    def expected(self, method: str, role: str) -> set[int]:
        position = ROLES.index(role)
        if method == "HEAD":  # as GET, or not at all
            return {self.named.get("HEAD", self.named.get("GET", self.rest))[position], 405}
        return {self.named.get(method, self.rest)[position]}

    def asked(self, role: str) -> tuple[str, ...]:
        """Return the methods to try: all of them as the owner; as others those that do something, and one that does not."""
        if role == "owner":
            return METHODS
        idle = [method for method in ("DELETE", "PUT", "POST", "PATCH") if method not in self.named]
        return (*self.named, *idle[:1])


def read(anonymous: int, words: str) -> Statuses:
    """Return the statuses of one to four words: "stranger viewer operator owner"."""
    given = [int(word) for word in words.split()]
    stranger, viewer, operator, owner = {1: given * 4, 2: [given[0], *given[1:] * 3]}.get(len(given), [*given, given[-1]][:4])
    return anonymous, stranger, viewer, operator, owner, stranger


def page(rest: str = "405", fresh: bool = False, **named: str) -> Row:
    """Return the row of a page behind the sign-in."""
    return Row({method: read(302, words) for method, words in named.items()}, read(302, rest), fresh)


def own(rest: str = "405", fresh: bool = False, **named: str) -> Row:
    """Return the row of a page about one person's own thing: "others owner"."""
    return page(rest, fresh, **{method: "{0} {0} {0} {1}".format(*words.split()) for method, words in named.items()})


def door(rest: str = "405", **named: str) -> Row:
    """Return the row of a page for everybody: "all", or "anonymous signed-in"."""

    def both(words: str) -> Statuses:
        anonymous, *signed_in = words.split()
        return read(int(anonymous), signed_in[0] if signed_in else anonymous)

    return Row({method: both(words) for method, words in named.items()}, both(rest))


def api(fresh: bool = False, **named: str) -> Row:
    """Return the row of an API path; every path tells those who are signed in what it is."""
    found = {method: read(401, words) for method, words in {"OPTIONS": "200", **named}.items()}
    return Row(found, read(401, "405"), fresh)


def desk(staff: int = 200, **named: int) -> Row:
    """Return the row of an admin page: what the staff gets; everybody else is sent to its door."""
    return Row({method: (*[302] * 5, status) for method, status in named.items()}, (*[302] * 5, staff))


DEVICE = "devices/<device:device_id>/"
PROFILE = "devices/profiles/<slug:key>/"
CERTIFICATE = DEVICE + "certificates/<uuid:certificate_id>/"
JOB = "devices/jobs/<device:job_id>/"
NOTIFICATION = "notifications/<device:notification_id>/"
API_NOTIFICATION = "api/v1/notifications/<str:notification_id>"
RECIPIENT = "notifications/recipients/<device:recipient_id>/"
API_JOB = "api/v1/device-jobs/<str:job_id>"
API_DEVICE = "api/v1/devices/<str:device_id>"
ORGANISATION = "account/organisations/<uuid:account_id>/"
BILLING = "account/billing/<uuid:account_id>/"
ORDER = "account/orders/<uuid:order_id>/"
API_ACCOUNT = "api/v1/accounts/<str:account_id>"
SIGN_IN = "api/auth/app/v1/"
API_CERTIFICATE = API_DEVICE + "/certificates/<str:certificate_id>"
# What the paths of the documented API answer to a body with a token, the user's name and the device's id, in place of a browser.
LEGACY_OPEN = (
    ("user/sign_up", "user/signup"), ("user/confirm_sign_up", "user/confirm_signup"), ("user/resend_confirmation_code",),
    ("user/login",), ("user/refresh",), ("user/forgot_password",), ("user/confirm_forgot_password",),
)  # fmt: skip
_READ = {"GET": "200", "POST": "200"}
_GET = {"GET": "404 403 200", "POST": "404 403 200"}
_PUT = {"PUT": "404 403 400"}
_DEVICE = {"GET": "404 200", "PATCH": "404 200", "POST": "400", "DELETE": "404 403 403 200"}
LEGACY: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "user/logout": ((), {"POST": "200"}),
    "user": ((), _READ),
    "user/subscription": ((), _READ),
    "user/payment/paypalsetup": ((), {"POST": "400"}),
    "user/payment/paypalexecute": ((), {"POST": "400"}),
    "user/payment/paypalverify": ((), {"POST": "400"}),
    "user/histories": ((), {"GET": "404 200", "POST": "404 200"}),
    "devices/register_device": ((), {"POST": "400"}),
    "devices/unregister_device": ((), {"POST": "404 403 403 200"}),
    "devices/get_device_list": ((), _READ),
    "devices/get_device_list_count": ((), _READ),
    "devices/get_device_index": ((), {"GET": "404 200", "POST": "404 200"}),
    "devices": ((), _DEVICE),
    "devices/device": ((), _DEVICE),
    "devices/device/status": ((), _GET | _PUT),
    "devices/device/gpio": ((), {"GET": "404 403 400", "POST": "404 403 400", "PUT": "404 403 400"}),
    "devices/device/rtc": ((), _GET | _PUT),
    "devices/device/ethernet": ((), _GET),
    "devices/device/ip": ((), _GET),
    "devices/device/subnet": ((), _GET),
    "devices/device/gateway": ((), _GET),
    "devices/device/mac": ((), _GET | _PUT),
    "devices/device/uart": ((), {"POST": "404 403 400", "PUT": "404 403 400"}),
    "devices/device/notifications": (("devices/device/notification",), {"POST": "404 403 400", "PUT": "404 403 400"}),
}


def legacy(*spellings: str) -> str:
    """Return the pattern of a path of the documented API."""
    found = "|".join(re.escape(one) for one in spellings)
    return rf"api/^{found if len(spellings) == 1 else f'(?:{found})'}/?\Z"


TABLE: dict[str, Row] = {
    "": door(rest="302"),
    # --- devices
    "devices/": page(GET="200"),
    "devices/register/": page(GET="200", POST="400"),
    DEVICE: page(GET="404 200"),
    DEVICE + "registered/": page(GET="404 200"),
    DEVICE + "name/": page(POST="404 403 403 400"),
    DEVICE + "kind/": page(POST="404 403 403 400"),
    DEVICE + "password/": page(GET="404 403 403 404", POST="404 403 403 404"),  # switched off
    DEVICE + "password/revoke/": page(GET="404 403 403 200", POST="404 403 403 302"),
    DEVICE + "key/forget/": page(GET="404 403 403 200", POST="404 403 403 302", fresh=True),
    DEVICE + "renew/": page(GET="404 403 403 200", POST="404 403 403 400"),
    DEVICE + "pkcs12/": page(GET="404 403 403 200", POST="404 403 403 400"),
    CERTIFICATE: page(GET="404 200"),
    CERTIFICATE + "revoke/": page(GET="404 403 403 200", POST="404 403 403 400"),
    CERTIFICATE + "rescue/": page(GET="404 403 403 200", POST="404 403 403 302"),
    "devices/register/many/": page(GET="200", POST="400"),
    JOB: page(GET="404 200"),
    "devices/claim/": door(GET="200", POST="302 400"),
    DEVICE + "claim-code/": page(GET="404 403 403 200", POST="404 403 403 200"),
    DEVICE + "claim-code/withdraw/": page(GET="404 403 403 200", POST="404 403 403 302"),
    JOB + "claim-codes/": page(POST="404 403 403 409"),  # it made no devices
    JOB + "cancel/": page(POST="404 403 403 302"),
    JOB + "result/": page(GET="404 200"),
    JOB + "archive/": page(POST="404 403 403 400"),
    "devices/certificates/": page(GET="200", POST="400"),
    "devices/profiles/": page(GET="200"),
    "devices/profiles/new/": page(GET="200", POST="400"),
    PROFILE: page(GET="404 200"),
    PROFILE + "profile.json": page(GET="404 200"),
    PROFILE + "edit/": page(GET="404 403 403 200", POST="404 403 403 400"),
    PROFILE + "apis/new/": page(GET="404 403 403 200", POST="404 403 403 400"),
    PROFILE + "delete/": page(GET="404 403 403 200", POST="404 403 403 302", fresh=True),
    DEVICE + "delete/": page(GET="404 403 403 200", POST="404 403 403 302", fresh=True),
    DEVICE + "files/<str:name>": page(GET="404 200"),
    DEVICE + "control/": page(GET="404 200"),
    DEVICE + "control/pins/": page(POST="404 403 403 400"),
    DEVICE + "control/<slug:name>/": page(rest="404 403 302", POST="404 403 200"),
    DEVICE + "timeline/": page(GET="404 200"),
    DEVICE + "emulator/": page(GET="404 403 403 200"),
    DEVICE + "emulator/<slug:name>/": page(POST="404 403 403 404"),  # it is told to do what no emulator does
    "emulator/": page(GET="200"),
    DEVICE + "offline/": page(GET="404 403 403 200", POST="404 403 403 400"),
    "pki/ca.pem": door(GET="200"),
    "pki/crl/<str:issuer>.crl": door(GET="404"),  # none was revoked
    "history/": page(GET="200"),
    "history/export/": page(GET="200"),
    # --- notifications
    "notifications/": page(GET="200"),
    NOTIFICATION: page(GET="404 200"),
    NOTIFICATION + "resend/": page(POST="404 403 302"),
    "notifications/recipients/": page(GET="200", POST="400"),
    RECIPIENT + "remove/": page(POST="404 403 403 302", fresh=True),
    RECIPIENT + "ask/": page(POST="404 403 403 302"),
    "notifications/confirm/<str:secret>/": door(GET="404", POST="404"),
    "notifications/unsubscribe/<str:secret>/": door(GET="404", POST="404"),
    DEVICE + "notifications/default/": page(POST="404 403 403 302"),
    "receipts/twilio/": door(POST="404"),  # not set up here
    # --- the door
    "accounts/login/": door(GET="200 302", POST="400 302", PUT="400 302", OPTIONS="200 302", rest="405 302"),
    "accounts/logout/": door(GET="302 200", POST="302", OPTIONS="200"),
    "accounts/inactive/": door(GET="200", OPTIONS="200"),
    "accounts/signup/": door(GET="200 302", POST="400 302", PUT="400 302", OPTIONS="200 302", rest="405 302"),
    "accounts/start-over/": door(POST="302"),
    "accounts/confirm-email/": door(rest="302"),
    "accounts/password/reset/": door(GET="200", POST="400", PUT="400", OPTIONS="200"),
    "accounts/password/reset/confirm/": door(rest="302"),
    "accounts/password/reset/complete/": door(rest="302"),
    "accounts/password/reset/done/": door(GET="200", OPTIONS="200"),
    "accounts/email/": door(rest="302"),
    "accounts/confirm-phone/": door(rest="302"),
    "accounts/second-factor/": door(rest="302"),
    "accounts/second-factor/send/": door(rest="302"),
    "accounts/passkey/": door(GET="302", POST="302", PUT="302", OPTIONS="200 302", rest="405 302"),
    # --- second factors: nothing of them is shown or changed before the person has confirmed that it is them
    "accounts/confirm/": page(GET="200", POST="400", PUT="400", OPTIONS="200"),
    "accounts/confirm/code/": page(rest="302"),
    "accounts/confirm/passkey/": page(rest="302"),
    "accounts/factors/": door(rest="302"),
    "accounts/factors/app/": page(rest="302"),
    "accounts/factors/app/remove/": page(rest="302"),
    # --- other sites that sign people in; none is set up here
    "accounts/sites/": door(rest="302"),
    "accounts/sites/signup/": door(rest="302"),
    "accounts/sites/cancelled/": door(GET="302"),
    **{f"accounts/{site}/login/callback/": door(GET="404") for site in ("amazon", "facebook", "github", "google")},
    "accounts/apple/login/callback/": door(rest="404"),
    "accounts/apple/login/callback/finish/": door(GET="404"),
    "accounts/<slug:provider_id>/login/": door(GET="404", POST="404"),
    "accounts/<slug:provider_id>/login/callback/": door(GET="404"),
    "account/sites/<slug:provider_id>/connect/": page(rest="302"),
    "account/sites/<slug:provider_id>/disconnect/": page(rest="302"),
    "account/passkeys/new/": page(rest="302"),
    "account/passkeys/<uuid:passkey_id>/": page(rest="302"),
    "account/passkeys/<uuid:passkey_id>/remove/": page(rest="302"),
    "account/codes/": page(rest="302"),
    "account/codes/remove/": page(rest="302"),
    "account/recovery-codes/new/": page(rest="302"),
    "account/recovery-codes/download/": page(POST="302"),
    "account/second-factor/off/": page(rest="302"),
    # --- the account, and pages for everybody
    "account/": page(GET="200"),
    "account/profile/": page(GET="200", POST="400"),
    "account/export/": page(rest="302"),
    "account/delete/": page(rest="302"),
    "account/leaving/": page(GET="302"),
    "account/keep/": page(POST="302"),
    "account/phone/": page(rest="302"),
    "account/phone/remove/": page(rest="302"),
    "account/password/": page(rest="302"),
    "account/email/": page(rest="302"),
    "account/sessions/end/": page(rest="302"),
    "account/sessions/<uuid:session_id>/end/": own(POST="404 302", fresh=True),
    "account/logins/<uuid:login_id>/end/": own(POST="404 302", fresh=True),
    "account/tokens/new/": page(rest="302"),
    "account/tokens/<uuid:token_id>/revoke/": own(GET="404 200", POST="404 302", fresh=True),
    # --- organisations
    "account/organisations/new/": page(GET="200", POST="400"),
    ORGANISATION: page(GET="404 200"),
    ORGANISATION + "name/": page(POST="404 403 403 400"),
    ORGANISATION + "delete/": page(GET="404 403 403 200", POST="404 403 403 400"),
    ORGANISATION + "leave/": page(GET="404 200", POST="404 302 302 409"),  # the only owner cannot
    ORGANISATION + "members/<uuid:user_id>/role/": page(POST="404 403 403 400"),
    ORGANISATION + "members/<uuid:user_id>/remove/": page(GET="404 403 403 200", POST="404 403 403 302"),
    ORGANISATION + "invitations/": page(POST="404 403 403 400"),
    ORGANISATION + "invitations/<uuid:invitation_id>/resend/": page(POST="404 403 403 302"),
    ORGANISATION + "invitations/<uuid:invitation_id>/withdraw/": page(POST="404 403 403 302"),
    "account/invitations/<uuid:invitation_id>/accept/": page(POST="404 404 404 302"),  # it is the owner who is invited
    "account/invitations/<uuid:invitation_id>/decline/": page(POST="404 404 404 302"),
    "invitations/": door(GET="404"),
    "invitations/<str:secret>/": door(GET="404"),
    # --- buying credits; nothing is for sale here
    BILLING: page(GET="404 200"),
    BILLING + "payments/": page(GET="404 403 403 200"),
    BILLING + "payments.csv": page(GET="404 403 403 200"),
    ORDER + "receipt/": page(GET="404 403 403 404"),  # it is not paid
    ORDER + "receipt.pdf": page(GET="404 403 403 404"),
    BILLING + "buy/": page(GET="404 403 403 200", POST="404 403 403 400"),
    ORDER: page(GET="404 403 403 200"),
    ORDER + "pay/": page(POST="404 403 403 503"),
    ORDER + "return/": page(GET="404 403 403 200"),
    ORDER + "cancelled/": page(GET="404 403 403 200"),
    "payments/paypal/ipn/": door(POST="404"),
    "payments/paypal/webhook/": door(POST="404"),
    "help/": door(GET="200"),
    "terms/": door(GET="200"),
    "privacy/": door(GET="200"),
    "menu/": page(GET="200"),
    "settings/": page(GET="200", POST="400"),
    # --- the API
    "api/v1": door(GET="200", OPTIONS="200"),
    "api/v1/": door(GET="302", rest="404"),
    "api/v1/schema": door(GET="200", OPTIONS="200"),
    "api/v1/docs": door(GET="200", OPTIONS="200"),
    "api/v1/account": api(GET="200", PATCH="200"),
    "api/v1/sessions": api(GET="200", DELETE="403"),  # a browser that has not just signed in
    "api/v1/sessions/<str:session_id>": api(fresh=True, DELETE="404 404 404 204"),
    "api/v1/tokens": api(GET="200", POST="400"),
    "api/v1/tokens/<str:token_id>": api(fresh=True, GET="404 404 404 200", DELETE="404 404 404 204"),
    "api/v1/profiles": api(GET="200", POST="400"),
    "api/v1/profiles/<str:slug>": api(GET="404 200", PUT="404 403 403 400", DELETE="404 403 403 204", fresh=True),
    "api/v1/accounts": api(GET="200", POST="400"),
    API_ACCOUNT: api(GET="404 200", PATCH="404 403 403 400", DELETE="404 403 403 400"),
    "api/v1/packages": api(GET="200"),
    API_ACCOUNT + "/subscription": api(GET="404 403 403 200"),
    API_ACCOUNT + "/orders": api(GET="404 403 403 200", POST="404 403 403 400"),
    API_ACCOUNT + "/orders/<str:order_id>": api(GET="404 403 403 404"),
    API_ACCOUNT + "/members": api(GET="404 200"),
    API_ACCOUNT + "/members/<str:user_id>": api(PATCH="404 403 403 400", DELETE="404 403 403 204"),
    API_ACCOUNT + "/invitations": api(GET="404 403 403 200", POST="404 403 403 400"),
    API_ACCOUNT + "/invitations/<str:invitation_id>": api(DELETE="404 403 403 204"),
    API_ACCOUNT + "/invitations/<str:invitation_id>/resend": api(POST="404 403 403 200"),
    "api/v1/invitations": api(GET="200"),
    "api/v1/invitations/<str:invitation_id>": api(DELETE="404 404 404 204"),
    "api/v1/invitations/<str:invitation_id>/accept": api(POST="404 404 404 200"),
    "api/v1/devices": api(GET="200", POST="400"),
    API_DEVICE: api(GET="404 200", PATCH="404 403 403 200", DELETE="404 403 403 204", fresh=True),
    API_DEVICE + "/profile": api(GET="404 200"),
    API_DEVICE + "/files/<str:name>": api(GET="404 200", DELETE="404 403 403 404"),
    API_DEVICE + "/password": api(GET="404 200", POST="404 403 403 409", DELETE="404 403 403 204"),
    API_DEVICE + "/pkcs12": api(POST="404 403 403 400"),
    "api/v1/claims": api(POST="400"),
    API_DEVICE + "/claim-code": api(POST="404 403 403 201", DELETE="404 403 403 204"),
    "api/v1/device-jobs": api(GET="200", POST="400"),
    API_JOB: api(GET="404 200", DELETE="404 403 403 204"),
    API_JOB + "/archive": api(POST="404 403 403 400"),
    "api/v1/certificates": api(GET="200"),
    API_DEVICE + "/certificates": api(GET="404 200", POST="404 403 403 201", fresh=True),
    API_CERTIFICATE: api(GET="404 200"),
    API_CERTIFICATE + "/revoke": api(POST="404 403 403 200", fresh=True),
    API_CERTIFICATE + "/rescue": api(POST="404 403 403 409"),
    API_DEVICE + "/presence": api(GET="404 200", PATCH="404 403 403 200"),
    API_DEVICE + "/timeline": api(GET="404 200"),
    API_DEVICE + "/commands": api(GET="404 200", POST="404 403 400"),
    API_DEVICE + "/status": api(GET="404 403 200"),
    API_DEVICE + "/restart": api(POST="404 403 200"),
    API_DEVICE + "/gpio/<int:number>": api(GET="404 403 200", PUT="404 403 400"),
    API_DEVICE + "/rtc": api(GET="404 403 200", PUT="404 403 400"),
    API_DEVICE + "/ethernet": api(GET="404 403 200"),
    API_DEVICE + "/uart": api(POST="404 403 400"),
    API_DEVICE + "/notifications": api(POST="404 403 400"),
    API_DEVICE + "/notifications/default": api(GET="404 200", PUT="404 403 403 400"),
    "api/v1/notifications": api(GET="200", POST="400"),
    API_NOTIFICATION: api(GET="404 200"),
    API_NOTIFICATION + "/resend": api(POST="404 403 202"),
    "api/v1/recipients": api(GET="200", POST="400"),
    "api/v1/recipients/<str:recipient_id>": api(fresh=True, DELETE="404 403 403 204"),
    API_DEVICE + "/apis/<str:api>": api(GET="404 403 200", PUT="404 403 405"),
    "api/v1/messages": api(GET="200"),
    # --- signing in over the API: a browser's session is nobody there
    "api/auth/docs": door(GET="200", OPTIONS="200"),
    "api/auth/schema": door(GET="200", OPTIONS="200"),
    SIGN_IN + "config": door(GET="200", OPTIONS="200"),
    SIGN_IN + "account/authenticators": door(rest="401"),
    SIGN_IN + "account/authenticators/recovery-codes": door(rest="401"),
    SIGN_IN + "account/authenticators/totp": door(rest="401"),
    SIGN_IN + "account/authenticators/webauthn": door(rest="401"),
    SIGN_IN + "account/email": door(POST="409", rest="401"),
    SIGN_IN + "account/password/change": door(rest="401"),
    SIGN_IN + "account/providers": door(rest="401"),
    SIGN_IN + "auth/2fa/authenticate": door(rest="401"),
    SIGN_IN + "auth/2fa/reauthenticate": door(rest="401"),
    SIGN_IN + "auth/webauthn/authenticate": door(rest="401"),
    SIGN_IN + "auth/webauthn/reauthenticate": door(rest="401"),
    SIGN_IN + "auth/webauthn/login": door(GET="200", POST="400", OPTIONS="200"),
    SIGN_IN + "auth/email/verify": door(rest="409"),
    SIGN_IN + "auth/email/verify/resend": door(POST="409", OPTIONS="200"),
    SIGN_IN + "auth/login": door(GET="405", HEAD="400", rest="400"),
    SIGN_IN + "auth/password/request": door(GET="405", HEAD="400", rest="400"),
    SIGN_IN + "auth/password/reset": door(rest="409"),
    SIGN_IN + "auth/provider/signup": door(rest="409"),
    SIGN_IN + "auth/provider/token": door(GET="405", HEAD="400", rest="400"),
    SIGN_IN + "auth/reauthenticate": door(rest="401"),
    SIGN_IN + "auth/session": door(GET="401", DELETE="401", OPTIONS="200"),
    SIGN_IN + "auth/sessions": door(rest="401"),
    SIGN_IN + "auth/signup": door(POST="400", OPTIONS="200"),
    SIGN_IN + "tokens/refresh": door(GET="405", HEAD="400", rest="400"),
    # --- the documented API: a browser's session is nobody there either; what tokens may is below
    "api/docs": door(GET="200", OPTIONS="200"),
    "api/schema": door(GET="200", OPTIONS="200"),
    **{legacy(*spellings): door(POST="400") for spellings in LEGACY_OPEN},
    **{legacy(path, *others): door(rest="401") for path, (others, _) in LEGACY.items()},
    r"api/^[\s\S]*\Z": door(rest="404"),
    # --- the staff
    "admin/": desk(),
    "admin/login/": Row({}, (302, *[403] * 4, 302)),
    "admin/logout/": desk(POST=302, OPTIONS=200, staff=405),
    "admin/password_change/": desk(302),
    "admin/password_change/done/": desk(GET=200, OPTIONS=200, staff=405),
    "admin/autocomplete/": desk(GET=403, OPTIONS=200, staff=405),
    "admin/jsi18n/": desk(GET=200, OPTIONS=200, staff=405),
    "admin/r/<path:content_type_id>/<path:object_id>/": desk(404),
    "admin/^(?P<app_label>auth|accounts|usersessions|admin|billing|devices|messaging|notifications)/$": desk(),
    "admin/(?P<url>.*)$": desk(404),
}
# What the staff may do with each kind of row: list and history always; add, change, delete where nothing else takes care of it.
ADMIN = {
    "auth/group": "add change delete",
    "admin/logentry": "",
    "usersessions/usersession": "",
    "accounts/user": "change",
    "accounts/account": "",
    "accounts/membership": "",
    "accounts/apitoken": "",
    "billing/ledgeraccount": "",
    "billing/entry": "",
    "billing/price": "add",
    "billing/plan": "add change delete",
    "billing/package": "add change delete",
    "billing/vatrate": "add change delete",
    "billing/order": "",
    "billing/paymentnotice": "",
    "devices/device": "change delete",
    "devices/certificate": "",
    "devices/ownprofile": "",
    "messaging/presence": "",
    "notifications/notification": "",
    "notifications/recipient": "",
    "notifications/suppression": "add delete",
}
for model, may in ADMIN.items():
    base = f"admin/{model}/"
    TABLE |= {
        base: desk(),
        base + "add/": desk(200 if "add" in may else 403),
        base + "<path:object_id>/": desk(302),
        base + "<path:object_id>/history/": desk(),
        base + "<path:object_id>/change/": desk(POST=200 if "change" in may else 403),
        base + "<path:object_id>/delete/": desk(200 if "delete" in may else 403),
    }


def every_pattern(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for found in resolver.url_patterns:
        whole = before + str(found.pattern)
        if isinstance(found, URLPattern):
            yield whole
        else:
            yield from every_pattern(found, whole)


def test_the_table_names_every_address_there_is() -> None:
    assert set(every_pattern(get_resolver())) == set(TABLE)


# --- the walk ----------------------------------------------------------------------------------------------------------------


@dataclass
class People:
    portal: LivePortal
    staff: User
    guest: User  # a member of organisations who can be removed
    profile: str = ""  # the id of one of the organisation's own
    organisation: tuple[UUID, UUID, UUID] | None = None  # its id, the guest's and an invitation's, until one of them is used up
    sessions: dict[str, requests.Session] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)  # of the documented API, by role

    def session(self, role: str, *, new: bool = False) -> requests.Session:
        """Return a browser of `role`, a `new` one where its session may end."""
        if new or role not in self.sessions:
            self.sessions[role] = self._session(role)
        return self.sessions[role]

    def device_answers(self) -> bool:
        return self.portal.ask("GET", f"{self.portal.device_path}/status?timeout=1").ok

    def _session(self, role: str) -> requests.Session:
        portal = self.portal
        users = {"stranger": portal.stranger, "owner": portal.user, "staff": self.staff, **portal.members}
        if role != "anonymous":
            return portal.session(users[role])
        session = requests.Session()
        session.cookies.set("csrftoken", "c" * 32)
        session.headers["X-CSRFToken"] = "c" * 32
        return session


@pytest.fixture(scope="module")
def people(
    pki: Path, django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[People]:
    with django_db_blocker.unblock():
        staff = create_user(username="olga", email="olga@example.com", password="x", first_name="Olga", last_name="O")
        User.objects.filter(pk=staff.pk).update(is_staff=True, is_superuser=True)
        guest = create_user(username="guest", email="guest@example.com", password="x", first_name="Guest", last_name="G")
        Group.objects.create(name="Helpers")
        LogEntry.objects.create(user=staff, action_flag=CHANGE, object_repr="Helpers", change_message="Made for the walk")
        fill_billing()
        Suppression.objects.create(channel="email", address="walrus@example.com", reason="operator")
        with live_portal(pki, tmp_path_factory.mktemp("portal"), organisation="Waterworks") as portal:
            fresh_notification(portal)
            fresh_recipient(portal)
            yield People(portal, User.objects.get(pk=staff.pk), guest, fresh_profile(portal))
            forget_orders()  # or their account could not go
        forget_billing()
        Suppression.objects.all().delete()
        Group.objects.filter(name="Helpers").delete()
        LogEntry.objects.all().delete()
        User.objects.filter(pk__in=[staff.pk, guest.pk]).delete()


@pytest.fixture(autouse=True)
def without_limits(request: pytest.FixtureRequest) -> None:
    """Forget how often this address was here: the door's limits are others' business."""
    if "people" in request.fixturenames:
        for pattern in ("*allauth:rl:*", "*window:*"):
            for key in list(cache.client().scan_iter(pattern, count=10_000)):
                cache.client().delete(key)


def fresh_device(portal: LivePortal) -> str:
    answer = portal.ask("POST", "/api/v1/devices", json={"name": f"Walrus {next(_numbers)}"})
    return str(answer.json()["id"])


def certificate_of(device: str) -> UUID:
    return committed(lambda: Certificate.objects.filter(device_id=UUID(hex=device), status="active").get().pk)


def fresh_token(people: People) -> UUID:
    token, _ = committed(lambda: create_token(user=people.portal.user, name=f"walk {next(_numbers)}"))
    return token.pk


def fresh_profile(portal: LivePortal) -> str:
    name = f"Walrus kind {next(_numbers)}"
    return committed(lambda: make_profile(account=portal.device.account, name=name, document=blank(name, ""))).hex


def fresh_job(portal: LivePortal) -> str:
    over = {"status": DeviceJob.Status.DONE, "ended_at": timezone.now()}
    return committed(lambda: DeviceJob.objects.create(account=portal.device.account, by=portal.user, **over)).hex


def fresh_notification(portal: LivePortal) -> str:
    about = {"cause": "device", "source": f"walk:{next(_numbers)}", "message": "Walrus", "asked_at": timezone.now()}
    over = {"status": "refused", "reason": "too_many", "ended_at": timezone.now()}
    return committed(
        lambda: Notification.objects.create(account=portal.device.account, device=portal.device, **about, **over)
    ).hex


def fresh_recipient(portal: LivePortal) -> str:
    address = f"walrus{next(_numbers)}@example.com"
    return committed(lambda: Recipient.objects.create(account=portal.device.account, channel="email", address=address)).hex


def fresh_login(people: People) -> UUID:
    user = people.portal.user
    committed(lambda: log_in(user=user, ip=None, user_agent="walk"))
    return user.api_tokens.filter(kind=ApiToken.Kind.LOGIN).latest("created_at").pk


def fresh_session(people: People) -> UUID:
    """Sign the owner in once more, and use that session."""
    session = people.portal.session(people.portal.user)
    key = session.cookies["sessionid"]
    session.get(people.portal.url + "/menu/", timeout=DEADLINE_S)
    return session_id(UserSession.objects.get(session_key=key))


def fresh_organisation(people: People) -> tuple[UUID, UUID, UUID]:
    """Make an organisation with the same members and a guest, and an invitation to its owner; return the three ids."""
    portal, number = people.portal, next(_numbers)

    def make() -> tuple[UUID, UUID, UUID]:
        account = Account.objects.create(kind=Account.Kind.ORGANISATION, name=f"Guild {number}")
        members = {**portal.members, "owner": portal.user}
        Membership.objects.bulk_create(Membership(account=account, user=user, role=role) for role, user in members.items())
        Membership.objects.create(account=account, user=people.guest, role=Role.VIEWER)
        ends = timezone.now() + timedelta(days=1)
        to_owner = {"email": portal.user.email, "invited_by": portal.user, "expires_at": ends}
        invitation = Invitation.objects.create(account=account, role=Role.VIEWER, secret_hash=number, **to_owner)
        return account.pk, people.guest.uuid, invitation.pk

    return committed(make)


_numbers = iter(range(10**6))


def address(people: People, pattern: str, *, fresh: bool) -> str:
    """Return an address of the pattern; what it names is the owner's."""
    found = re.match(r"admin/(\w+)/(\w+)/<path", pattern)
    named = "1"
    if found and found[2] == "device":
        named = str(people.portal.device.pk)  # the walk deletes others, and what is deleted stays in the list
    elif found:
        named = str(apps.get_model(found[1], found[2])._default_manager.order_by("pk")[0].pk)
    device = fresh_device(people.portal) if fresh and "device_id" in pattern else people.portal.device.hex
    profile = fresh_profile(people.portal) if fresh and re.search("slug>|slug:key", pattern) else people.profile
    if re.search("(account|invitation)_id", pattern):
        people.organisation = people.organisation or fresh_organisation(people)
        for name, key in zip(("account_id", "user_id", "invitation_id"), people.organisation, strict=True):
            pattern = pattern.replace(f"<uuid:{name}>", str(key)).replace(f"<str:{name}>", key.hex)
    if "order_id" in pattern or pattern.startswith("admin/billing/order/<"):
        order = committed(lambda: make_order(people.portal.device.account))
        pattern = pattern.replace("<str:order_id>", order.pk.hex)  # of another account
        pattern, named = pattern.replace("<uuid:order_id>", str(order.pk)), str(order.pk) if found else named
    if "job_id" in pattern:
        pattern = re.sub("<(device|str):job_id>", fresh_job(people.portal), pattern)
    for kind, make in (("notification", fresh_notification), ("recipient", fresh_recipient)):
        if f"{kind}_id>" in pattern:
            pattern = re.sub(f"<(device|str):{kind}_id>", make(people.portal), pattern)
    return "/" + (
        pattern.replace("<device:device_id>", device)
        .replace("<str:device_id>", device)
        .replace("<str:name>", "device.crt")
        .replace("<str:api>", "get_rtc")
        .replace("<slug:name>", "status")
        .replace("<str:issuer>", "0" * 40)
        .replace("<uuid:certificate_id>", str(certificate_of(device)) if "certificate_id" in pattern else "")
        .replace("<str:certificate_id>", certificate_of(device).hex if "certificate_id" in pattern else "")
        .replace("<str:secret>", "s" * 43)
        .replace("<int:number>", "3")
        .replace("<str:slug>", profile)
        .replace("<slug:key>", profile)
        .replace("<slug:provider_id>", "nothing")
        .replace("<uuid:passkey_id>", str(UUID(int=0)))
        .replace("<uuid:login_id>", str(fresh_login(people)) if "login_id" in pattern else "")
        .replace("<uuid:session_id>", str(fresh_session(people)) if "<uuid:session_id" in pattern else "")
        .replace("<str:session_id>", fresh_session(people).hex if "<str:session_id" in pattern else "")
        .replace("<uuid:token_id>", str(fresh_token(people)) if "<uuid:token_id" in pattern else "")
        .replace("<str:token_id>", fresh_token(people).hex if "<str:token_id" in pattern else "")
        .replace("<path:content_type_id>", "1")
        .replace("<path:object_id>", named)
        .replace("^(?P<app_label>auth|accounts|usersessions|admin|billing|devices|messaging|notifications)/$", "accounts/")
        .replace("(?P<url>.*)$", "nothing")
        .replace(r"^[\s\S]*\Z", "nothing")
        if "/?" not in pattern
        else re.sub(r"\^(?:\(\?:)?([\w/]+).*", r"\1", pattern)
    )


def ask(session: requests.Session, url: str, method: str) -> requests.Response:
    body: dict[str, Any] = {}
    if method in {"POST", "PUT", "PATCH"}:
        body = {"json": {}} if "/api/" in url else {"data": {"unknown": "1"}}
    return session.request(method, url, allow_redirects=False, timeout=DEADLINE_S, **body)


def assert_nothing_told(people: People, answer: requests.Response, path: str) -> None:
    """Assert that the answer says nothing about the owner's device or organisation but the address that was asked for."""
    device = people.portal.device
    text = answer.text.replace(path, "") + answer.headers.get("location", "").replace(path, "")
    assert device.name not in text
    assert "Guild" not in text
    assert device.hex not in text
    assert str(device.pk) not in text


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("pattern", TABLE)
def test_an_address_answers_as_the_table_says(people: People, pattern: str, role: str) -> None:
    row = TABLE[pattern]
    wrong = []
    deletes = role == "staff" and pattern.endswith("delete/")  # asking is enough: what the owner has is needed on
    for method in ("GET", "HEAD") if deletes else row.asked(role):
        path = address(people, pattern, fresh=row.fresh and role == "owner")
        session = people.session(role, new="logout" in pattern)
        answer = ask(session, people.portal.url + path, method)
        if method not in {"GET", "HEAD", "OPTIONS"} and answer.status_code < 400:
            people.organisation = None
        if answer.status_code not in row.expected(method, role):
            wrong.append(f"{method} {path}: {answer.status_code}, not {row.expected(method, role)}")
        if role in {"anonymous", "stranger"} and "<" in pattern and "admin" not in pattern:
            assert_nothing_told(people, answer, path)
        if pattern.endswith("/restart") and answer.status_code == 200 and method == "POST":
            until(people.device_answers, "the device to be back")
    assert not wrong, "\n".join(wrong)


def legacy_body(people: People, role: str, *, fresh: bool, ends: bool) -> dict[str, Any]:
    """Return a body of the documented API: who asks, and the owner's device, or one that may be taken away.

    `ends`: the request may end the token's life, so it gets one of its own.
    """
    portal = people.portal
    user = {"stranger": portal.stranger, "owner": portal.user, "staff": people.staff, **portal.members}[role]
    if role not in people.tokens:
        people.tokens[role] = committed(lambda: log_in(user=user, ip=None, user_agent="").access)
    token = people.tokens.pop(role) if ends else people.tokens[role]
    device = fresh_device(portal) if fresh else portal.device.hex
    return {"username": user.username, "access_token": token, "deviceid": device, "index": 0}


@pytest.mark.parametrize("role", ROLES[1:])
@pytest.mark.parametrize("path", LEGACY)
def test_a_documented_path_answers_a_token_as_the_table_says(people: People, path: str, role: str) -> None:
    others, named = LEGACY[path]
    wrong = []
    row = Row({one: read(401, words) for one, words in named.items()}, read(401, "405"))
    spellings = itertools.product((path, *others), ("", "/")) if role == "owner" else [(path, "")]
    for spelling, slash in spellings:
        for method in row.asked(role):
            takes_away = (method, path) in {("POST", "devices/unregister_device"), ("DELETE", path)}
            body = legacy_body(people, role, fresh=takes_away and role == "owner", ends=path == "user/logout")
            url = f"{people.portal.url}/api/{spelling}{slash}"
            answer = requests.request(method, url, json=body, allow_redirects=False, timeout=DEADLINE_S)
            if answer.status_code not in row.expected(method, role):
                wrong.append(f"{method} {url}: {answer.status_code}, not {row.expected(method, role)}")
            if role == "stranger":
                assert_nothing_told(people, answer, body["deviceid"])
    assert not wrong, "\n".join(wrong)


ID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}")
UNKNOWN = UUID("01234567-89ab-cdef-0123-456789abcdef")


@pytest.mark.parametrize(
    "pattern", [pattern for pattern in TABLE if re.search(r"(device|account|invitation|job|notification|recipient)_id", pattern)]
)
def test_a_strangers_answer_is_the_one_to_an_unknown_id(people: People, pattern: str) -> None:
    session = people.session("stranger")
    path = address(people, pattern, fresh=False)
    unknown = ID.sub(lambda found: str(UNKNOWN) if found[1] else UNKNOWN.hex, path)
    for method in METHODS:
        one, other = (ask(session, people.portal.url + where, method) for where in (path, unknown))
        assert one.status_code == other.status_code
        assert plain(one, path) == plain(other, unknown)


def plain(answer: requests.Response, path: str) -> str:
    """Return the body without what is different in every answer: the ids that were asked for, and the form's secret."""
    text = answer.text
    for found in ID.finditer(path):
        text = text.replace(found[0], "ID")
    return re.sub(r'(csrfmiddlewaretoken" value="|csrf-token" content="|X-CSRFToken": ?")[^"]*', "", text)


def test_nothing_unsafe_is_done_without_the_csrf_token(people: People) -> None:
    session = people.session("owner", new=True)
    del people.sessions["owner"]
    del session.headers["X-CSRFToken"]
    exempt = {
        "api/v1",
        "api/v1/",
        r"api/^[\s\S]*\Z",
        "api/v1/docs",
        "api/v1/schema",
        "api/auth/docs",
        "api/auth/schema",
        "api/docs",
        "api/schema",
        "accounts/apple/login/callback/",
        "receipts/twilio/",  # signed by who sends it
        "notifications/unsubscribe/<str:secret>/",  # a mail program has no cookie; the link is the proof
    }  # they do nothing
    for pattern in sorted(set(TABLE) - exempt):
        if pattern.startswith((SIGN_IN, "api/^")) or (pattern.startswith("api/") and "POST" not in TABLE[pattern].named):
            continue
        path = address(people, pattern, fresh=False)
        answer = ask(session, people.portal.url + path, "POST")
        assert answer.status_code == 403, (path, answer.status_code)


NONSENSE = """
/%00 /%ff%fe /devices/%00/ /devices/../admin/ //example.com/devices/ /help/?x=%00
/devices/?q=%00&page=%00&show=%00 /history/?text=%00&device=%00&since=%00&cursor=%00 /history/export/?format=%00
/api/v1/%0a /api/v1/devices/%00 /api/v1/devices/%ff /api/v1/devices?name=%00 /api/v1/devices?cursor=%00
/api/v1/messages?text=%00 /api/v1/messages?device=%00 /api/v1/messages?api=%00&since=%00 /api/v1/messages?cursor=%ff
/api/v1/schema?format=%00 /api/v1/schema?lang=%00&version=%0a /api/v1/docs?lang=%00&version=%0a /api/v1?format=%00
"""


@pytest.mark.parametrize("path", [*NONSENSE.split(), "/devices/" + "a" * 5000 + "/"])
@pytest.mark.parametrize("role", ["anonymous", "owner"])
def test_an_address_that_makes_no_sense_is_the_callers_mistake(people: People, path: str, role: str) -> None:
    session = people.session(role)
    url = people.portal.url + path
    request = session.prepare_request(requests.Request("GET", url))
    request.url = url  # as it stands, not as requests would clean it
    answer = session.send(request, allow_redirects=False, timeout=DEADLINE_S)
    assert answer.status_code < 500, answer.text[:300]
