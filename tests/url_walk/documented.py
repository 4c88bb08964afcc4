"""The documented API: what a browser's session gets, which is nobody there, and what tokens may."""

from __future__ import annotations

import re

from tests.url_walk.rows import Row, door

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
    **{legacy(*spellings): door(POST="400") for spellings in LEGACY_OPEN},
    **{legacy(path, *others): door(rest="401") for path, (others, _) in LEGACY.items()},
    r"api/^[\s\S]*\Z": door(rest="404"),
}
