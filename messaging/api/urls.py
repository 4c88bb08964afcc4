"""The API's paths, below /api/. No trailing slashes."""

from django.urls import path, re_path

from accounts.api import organisations
from accounts.api.sessions import SessionsView, SessionView
from accounts.api.tokens import TokensView, TokenView
from billing.api import promo_codes
from billing.api import views as billing
from devices.api import certificates, claims, jobs
from devices.api.profile_views import DeviceProfileView, ProfileListView, ProfileView
from devices.api.secrets import SecretView
from devices.api.views import DeviceFileView
from messaging.api import legacy_urls, views
from messaging.api.pages import DocsView, LegacyDocsView, LegacySchemaView, SchemaView
from messaging.api.presence import PresenceView, TimelineView

app_name = "api"

_ACCOUNT = "v1/accounts/<str:account_id>"
_INVITATION = f"{_ACCOUNT}/invitations/<str:invitation_id>"
_DEVICE = "v1/devices/<str:device_id>"

urlpatterns = [
    path("v1", views.RootView.as_view(), name="root"),
    path("v1/schema", SchemaView.as_view(), name="schema"),
    path("v1/docs", DocsView.as_view(), name="docs"),
    path("v1/account", views.AccountView.as_view(), name="account"),
    path("v1/accounts", organisations.AccountListView.as_view(), name="accounts"),
    path(_ACCOUNT, organisations.AccountView.as_view(), name="one-account"),
    path(f"{_ACCOUNT}/members", organisations.MemberListView.as_view(), name="members"),
    path(f"{_ACCOUNT}/members/<str:user_id>", organisations.MemberView.as_view(), name="member"),
    path(f"{_ACCOUNT}/invitations", organisations.InvitationListView.as_view(), name="invitations"),
    path(_INVITATION, organisations.InvitationView.as_view(), name="invitation"),
    path(f"{_INVITATION}/resend", organisations.ResendView.as_view(), name="resend"),
    path(f"{_ACCOUNT}/subscription", billing.SubscriptionView.as_view(), name="subscription"),
    path(f"{_ACCOUNT}/orders", billing.OrdersView.as_view(), name="orders"),
    path(f"{_ACCOUNT}/orders/<str:order_id>", billing.OrderView.as_view(), name="order"),
    path(f"{_ACCOUNT}/promo-codes", promo_codes.PromoCodesView.as_view(), name="promo-codes"),
    path("v1/packages", billing.PackagesView.as_view(), name="packages"),
    path("v1/invitations", organisations.ReceivedListView.as_view(), name="received-invitations"),
    path("v1/invitations/<str:invitation_id>", organisations.ReceivedView.as_view(), name="received-invitation"),
    path("v1/invitations/<str:invitation_id>/accept", organisations.AcceptView.as_view(), name="accept"),
    path("v1/sessions", SessionsView.as_view(), name="sessions"),
    path("v1/sessions/<str:session_id>", SessionView.as_view(), name="session"),
    path("v1/tokens", TokensView.as_view(), name="tokens"),
    path("v1/tokens/<str:token_id>", TokenView.as_view(), name="token"),
    path("v1/profiles", ProfileListView.as_view(), name="profiles"),
    path("v1/profiles/<str:slug>", ProfileView.as_view(), name="profile"),
    path("v1/devices", views.LiveDeviceListView.as_view(), name="devices"),
    path(_DEVICE, views.LiveDeviceView.as_view(), name="device"),
    path(f"{_DEVICE}/profile", DeviceProfileView.as_view(), name="device-profile"),
    path(f"{_DEVICE}/files/<str:name>", DeviceFileView.as_view(), name="device-file"),
    path(f"{_DEVICE}/pkcs12", certificates.Pkcs12View.as_view(), name="pkcs12"),
    path(f"{_DEVICE}/password", SecretView.as_view(), name="device-password"),
    path(f"{_DEVICE}/certificates", certificates.CertificateListView.as_view(), name="device-certificates"),
    path(f"{_DEVICE}/certificates/<str:certificate_id>", certificates.CertificateView.as_view(), name="certificate"),
    path(f"{_DEVICE}/certificates/<str:certificate_id>/revoke", certificates.RevokeView.as_view(), name="certificate-revoke"),
    path(f"{_DEVICE}/certificates/<str:certificate_id>/rescue", certificates.RescueView.as_view(), name="certificate-rescue"),
    path("v1/claims", claims.ClaimsView.as_view(), name="claims"),
    path(f"{_DEVICE}/claim-code", claims.ClaimCodeView.as_view(), name="claim-code"),
    path("v1/device-jobs", jobs.JobListView.as_view(), name="device-jobs"),
    path("v1/device-jobs/<str:job_id>", jobs.JobView.as_view(), name="device-job"),
    path("v1/device-jobs/<str:job_id>/archive", jobs.JobArchiveView.as_view(), name="device-job-archive"),
    path("v1/certificates", certificates.AllCertificatesView.as_view(), name="certificates"),
    path(f"{_DEVICE}/presence", PresenceView.as_view(), name="presence"),
    path(f"{_DEVICE}/timeline", TimelineView.as_view(), name="timeline"),
    path(f"{_DEVICE}/commands", views.CommandsView.as_view(), name="commands"),
    path(f"{_DEVICE}/status", views.StatusView.as_view(), name="status"),
    path(f"{_DEVICE}/restart", views.RestartView.as_view(), name="restart"),
    path(f"{_DEVICE}/gpio/<int:number>", views.PinView.as_view(), name="gpio"),
    path(f"{_DEVICE}/rtc", views.ClockView.as_view(), name="rtc"),
    path(f"{_DEVICE}/ethernet", views.EthernetView.as_view(), name="ethernet"),
    path(f"{_DEVICE}/uart", views.UartView.as_view(), name="uart"),
    path(f"{_DEVICE}/notifications", views.NotificationsView.as_view(), name="notifications"),
    path(f"{_DEVICE}/apis/<str:api>", views.ApiView.as_view(), name="api"),
    path("v1/messages", views.HistoryView.as_view(), name="messages"),
    path("v1/", views.root_with_slash),
    path("schema", LegacySchemaView.as_view(), name="legacy-schema"),
    path("docs", LegacyDocsView.as_view(), name="legacy-docs"),
    *legacy_urls.urlpatterns,
    re_path(r"^[\s\S]*\Z", views.unknown_path),
]
