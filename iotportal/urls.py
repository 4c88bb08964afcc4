"""Every URL of the portal."""

from allauth.headless import urls as headless_urls
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from accounts.headless import without_phones
from accounts.headless_factors import with_second_factors
from iotportal import views
from messaging.api.pages import SignInDocsView, SignInSchemaView

_sign_in = [
    *with_second_factors(list(without_phones(headless_urls.urlpatterns))),
    path("schema", SignInSchemaView.as_view(), name="openapi_yaml"),  # allauth finds its own paths by this name
    path("docs", SignInDocsView.as_view(), name="docs"),
]
handler429 = "accounts.http.refused_by_allauth"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="devices:list"), name="home"),
    path("devices/", include("devices.urls")),
    path("pki/", include("devices.public_urls")),
    path("", include("messaging.urls")),
    path("", include("notifications.urls")),
    path("", include("accounts.urls")),
    path("", include("billing.urls")),
    path("help/", views.help_page, name="help"),
    path("terms/", views.terms, name="terms"),
    path("privacy/", views.privacy, name="privacy"),
    path("menu/", views.menu, name="menu"),
    path("settings/", views.user_settings, name="settings"),
    path("api/auth/", include((_sign_in, "headless"))),
    path("api/v1/", include("notifications.api.urls")),
    path("api/", include("messaging.api.urls")),
    path("admin/", admin.site.urls),
]
