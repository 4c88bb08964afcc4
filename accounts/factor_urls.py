"""Second factors and other ways in: their addresses. The names are allauth's where its flows look for them."""

from django.urls import path

from accounts.views import second_factor

door = [
    path("second-factor/", second_factor.SecondFactorView.as_view(), name="mfa_authenticate"),
    path("second-factor/send/", second_factor.SendCodeView.as_view(), name="send_code"),
]
