"""The addresses of what everybody may have of the authority."""

from django.urls import path

from devices.views import public

app_name = "pki"

urlpatterns = [
    path("ca.pem", public.root_ca, name="root"),
    path("crl/<str:issuer>.crl", public.revocation_list, name="crl"),
]
