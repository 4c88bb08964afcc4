"""Django's admin with our site in place of its own."""

from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    """The admin, as `INSTALLED_APPS` names it."""

    default_site = "accounts.admin_site.PortalAdminSite"
