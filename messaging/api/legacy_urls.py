"""The paths of the documented API, below /api/: each with its old spellings, with and without a slash at the end."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from django.urls import path, re_path

from accounts.api.legacy.profile import ProfileView
from accounts.api.legacy.recovery import ForgotView, NewPasswordView
from accounts.api.legacy.sign_in import LoginView, LogoutView, RefreshView
from accounts.api.legacy.sign_up import ConfirmSignUpView, ResendView, SignUpView
from billing.api.legacy import PayPalExecuteView, PayPalSetupView, PayPalVerifyView, SubscriptionView
from devices.api import legacy as devices
from iotportal.legacy import LegacyView
from iotportal.legacy_schema import legacy_schema
from messaging.api.legacy import COMMAND_VIEWS, HistoriesView

VIEWS: dict[tuple[str, ...], type[LegacyView]] = {
    ("user/sign_up", "user/signup"): SignUpView,
    ("user/confirm_sign_up", "user/confirm_signup"): ConfirmSignUpView,
    ("user/resend_confirmation_code",): ResendView,
    ("user/login",): LoginView,
    ("user/refresh",): RefreshView,
    ("user/logout",): LogoutView,
    ("user/forgot_password",): ForgotView,
    ("user/confirm_forgot_password",): NewPasswordView,
    ("user",): ProfileView,
    ("user/subscription",): SubscriptionView,
    ("user/payment/paypalsetup",): PayPalSetupView,
    ("user/payment/paypalexecute",): PayPalExecuteView,
    ("user/payment/paypalverify",): PayPalVerifyView,
    ("user/histories",): HistoriesView,
    ("devices/register_device",): devices.RegisterView,
    ("devices/unregister_device",): devices.UnregisterView,
    ("devices/get_device_list",): devices.ListView,
    ("devices/get_device_list_count",): devices.CountView,
    ("devices/get_device_index",): devices.IndexView,
    ("devices",): devices.DevicesView,
    ("devices/device",): devices.DeviceView,
    **{
        (f"devices/device/{name}", *(("devices/device/notification",) if name == "notifications" else ())): view
        for name, view in COMMAND_VIEWS.items()
    },
}


def _pattern(spellings: tuple[str, ...]) -> str:
    found = [re.escape(one) for one in spellings]
    return rf"^{found[0] if len(found) == 1 else '(?:' + '|'.join(found) + ')'}/?\Z"


# Without a schema: version 1's description leaves them out.
urlpatterns = [re_path(_pattern(spellings), view.as_view(schema=None)) for spellings, view in VIEWS.items()]


@cache
def schema() -> dict[str, Any]:
    """Return the OpenAPI document of these paths; it is made once, as it is the same for everybody."""
    return legacy_schema([path(f"api/{spellings[0]}", view.as_view()) for spellings, view in VIEWS.items()])
