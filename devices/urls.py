"""The addresses of the registry's pages."""

from django.urls import path

import devices.converters  # noqa: F401  # makes <device:…> known
from devices import views

app_name = "devices"

urlpatterns = [
    path("", views.device_list, name="list"),
    path("register/", views.register, name="register"),
    path("<device:device_id>/", views.detail, name="detail"),
    path("<device:device_id>/registered/", views.registered, name="registered"),
    path("<device:device_id>/name/", views.rename, name="rename"),
    path("<device:device_id>/kind/", views.change_profile, name="change_profile"),
    path("<device:device_id>/key/forget/", views.forget_key, name="forget_key"),
    path("<device:device_id>/certificate/new/", views.new_certificate, name="new_certificate"),
    path("<device:device_id>/delete/", views.delete, name="delete"),
    path("<device:device_id>/files/<str:name>", views.device_file, name="file"),
]
