"""The API's paths of notifications, below /api/v1/. No trailing slashes."""

from django.urls import path

from notifications.api import views

app_name = "notifications-api"

urlpatterns = [
    path("notifications", views.LogView.as_view(), name="log"),
    path("notifications/<str:notification_id>", views.NotificationView.as_view(), name="notification"),
    path("notifications/<str:notification_id>/resend", views.ResendNotificationView.as_view(), name="resend"),
    path("recipients", views.RecipientListView.as_view(), name="recipients"),
    path("recipients/<str:recipient_id>", views.RecipientView.as_view(), name="recipient"),
    path("devices/<str:device_id>/notifications/default", views.StandardView.as_view(), name="default"),
]
