"""Where people get in, and where they look after their account.

The door keeps allauth's names (`account_login` …), because its flows look for them. Of allauth's pages only those that the
portal has are here; the rest comes with its features.
"""

from allauth.account import views as allauth_views
from django.urls import include, path
from django.views.generic import RedirectView

from accounts import factor_urls
from accounts.views import account, credentials, door, invitations, leaving, organisations, profile, sessions, tokens

_door = [
    path("login/", door.SignInView.as_view(), name="account_login"),
    path("logout/", allauth_views.logout, name="account_logout"),
    path("inactive/", allauth_views.account_inactive, name="account_inactive"),
    path("signup/", door.SignUpView.as_view(), name="account_signup"),
    path("start-over/", door.start_over, name="account_start_over"),
    path("confirm-email/", door.ConfirmEmailView.as_view(), name="account_email_verification_sent"),
    path("password/reset/", door.RecoverView.as_view(), name="account_reset_password"),
    path("password/reset/confirm/", door.RecoverCodeView.as_view(), name="account_confirm_password_reset_code"),
    path("password/reset/complete/", door.NewPasswordView.as_view(), name="account_complete_password_reset"),
    path("password/reset/done/", allauth_views.password_reset_from_key_done, name="account_password_reset_completed"),
    path("confirm-phone/", profile.PhoneCodeView.as_view(), name="account_verify_phone"),
    path("email/", RedirectView.as_view(pattern_name="accounts:account"), name="account_email"),
]

_account = [
    path("", account.account, name="account"),
    path("profile/", profile.profile, name="profile"),
    path("phone/", profile.phone, name="phone"),
    path("phone/remove/", profile.remove_phone, name="remove_phone"),
    path("password/", credentials.ChangePasswordView.as_view(), name="change_password"),
    path("email/", credentials.ChangeEmailView.as_view(), name="change_email"),
    path("export/", leaving.export, name="export"),
    path("delete/", leaving.delete, name="delete"),
    path("leaving/", leaving.leaving, name="leaving"),
    path("keep/", leaving.keep, name="keep"),
    path("sessions/end/", sessions.end_others, name="end_others"),
    path("sessions/<uuid:session_id>/end/", sessions.end_session, name="end_session"),
    path("logins/<uuid:login_id>/end/", sessions.end_login, name="end_login"),
    path("tokens/new/", tokens.new_token, name="new_token"),
    path("tokens/<uuid:token_id>/revoke/", tokens.revoke_token, name="revoke_token"),
]

_organisation = "organisations/<uuid:account_id>/"
_account += [
    path("organisations/new/", organisations.new, name="new_organisation"),
    path(_organisation, organisations.organisation, name="organisation"),
    path(f"{_organisation}name/", organisations.rename, name="rename_organisation"),
    path(f"{_organisation}time-zone/", organisations.set_time_zone, name="organisation_time_zone"),
    path(f"{_organisation}delete/", organisations.delete, name="delete_organisation"),
    path(f"{_organisation}leave/", organisations.leave, name="leave_organisation"),
    path(f"{_organisation}members/<uuid:user_id>/role/", organisations.change_role, name="change_role"),
    path(f"{_organisation}members/<uuid:user_id>/remove/", organisations.remove, name="remove_member"),
    path(f"{_organisation}invitations/", invitations.invite, name="invite"),
    path(f"{_organisation}invitations/<uuid:invitation_id>/resend/", invitations.resend, name="resend_invitation"),
    path(f"{_organisation}invitations/<uuid:invitation_id>/withdraw/", invitations.withdraw, name="withdraw_invitation"),
    path("invitations/<uuid:invitation_id>/accept/", invitations.accept, name="accept_invitation"),
    path("invitations/<uuid:invitation_id>/decline/", invitations.decline, name="decline_invitation"),
]

urlpatterns = [
    path("invitations/", invitations.invitation, name="invitation"),
    path("invitations/<str:secret>/", invitations.follow, name="follow_invitation"),
    path("accounts/", include(_door)),
    path("accounts/", include(factor_urls.door)),
    path("account/", include(([*_account, *factor_urls.account], "accounts"))),
]
