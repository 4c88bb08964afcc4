"""The API's paths of notifications, below /api/v1/. No trailing slashes."""

from django.urls import path

from notifications.api import rules, views

app_name = "notifications-api"

urlpatterns = [
    path("notifications", views.LogView.as_view(), name="log"),
    path("notifications/<str:notification_id>", views.NotificationView.as_view(), name="notification"),
    path("notifications/<str:notification_id>/resend", views.ResendNotificationView.as_view(), name="resend"),
    path("rules", rules.RuleListView.as_view(), name="rules"),
    path("rules/<str:rule_id>", rules.RuleView.as_view(), name="rule"),
    path("rules/<str:rule_id>/test", rules.TestRuleView.as_view(), name="rule_test"),
    path("recipients", views.RecipientListView.as_view(), name="recipients"),
    path("recipients/<str:recipient_id>", views.RecipientView.as_view(), name="recipient"),
    path("devices/<str:device_id>/notifications/default", views.StandardView.as_view(), name="default"),
]
