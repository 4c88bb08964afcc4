"""Every URL of the portal."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from iotportal import views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="devices:list"), name="home"),
    path("devices/", include("devices.urls")),
    path("", include("messaging.urls")),
    path("", include("accounts.urls")),
    path("help/", views.help_page, name="help"),
    path("terms/", views.terms, name="terms"),
    path("privacy/", views.privacy, name="privacy"),
    path("menu/", views.menu, name="menu"),
    path("settings/", views.user_settings, name="settings"),
    path("api/", include("messaging.api.urls")),
    path("admin/", admin.site.urls),
]
