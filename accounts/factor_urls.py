"""Second factors and other ways in: their addresses. The names are allauth's where its flows look for them."""

from django.urls import path
from django.views.generic import RedirectView

from accounts.views import factors, passkeys, second_factor, social

_SITES = ("amazon", "facebook", "github", "google")  # whose answers come alike; allauth looks for the names

door = [
    path("second-factor/", second_factor.SecondFactorView.as_view(), name="mfa_authenticate"),
    path("second-factor/send/", second_factor.SendCodeView.as_view(), name="send_code"),
    path("passkey/", passkeys.SignInView.as_view(), name="mfa_login_webauthn"),
    path("confirm/", passkeys.ConfirmByPasswordView.as_view(), name="account_reauthenticate"),
    path("confirm/code/", passkeys.ConfirmByCodeView.as_view(), name="mfa_reauthenticate"),
    path("confirm/passkey/", passkeys.ConfirmByPasskeyView.as_view(), name="mfa_reauthenticate_webauthn"),
    path("factors/", RedirectView.as_view(pattern_name="accounts:account"), name="mfa_index"),
    path("factors/app/", factors.AddAppView.as_view(), name="mfa_activate_totp"),
    path("factors/app/remove/", factors.RemoveAppView.as_view(), name="mfa_deactivate_totp"),
    path("sites/signup/", social.SignUpView.as_view(), name="socialaccount_signup"),
    path("sites/cancelled/", social.cancelled, name="socialaccount_login_cancelled"),
    path("sites/", RedirectView.as_view(pattern_name="accounts:account"), name="socialaccount_connections"),
    *(path(f"{site}/login/callback/", social.callback, {"provider_id": site}, name=f"{site}_callback") for site in _SITES),
    path("apple/login/callback/", social.apple_answer, name="apple_callback"),
    path("apple/login/callback/finish/", social.callback, {"provider_id": "apple"}, name="apple_finish_callback"),
    path("<slug:provider_id>/login/", social.begin, name="social_begin"),
    path("<slug:provider_id>/login/callback/", social.callback, name="openid_connect_callback"),
]

account = [
    path("passkeys/new/", factors.AddPasskeyView.as_view(), name="add_passkey"),
    path("passkeys/<uuid:passkey_id>/", factors.rename_passkey, name="rename_passkey"),
    path("passkeys/<uuid:passkey_id>/remove/", factors.remove_passkey, name="remove_passkey"),
    path("codes/", factors.add_codes, name="add_codes"),
    path("codes/remove/", factors.remove_codes, name="remove_codes"),
    path("recovery-codes/new/", factors.new_recovery_codes, name="new_recovery_codes"),
    path("recovery-codes/download/", factors.download_recovery_codes, name="download_recovery_codes"),
    path("second-factor/off/", factors.switch_all_off, name="factors_off"),
    path("sites/<slug:provider_id>/connect/", social.connect, name="connect_site"),
    path("sites/<slug:provider_id>/disconnect/", social.disconnect, name="disconnect_site"),
]
