"""The API's paths of notifications, below /api/v1/. No trailing slashes."""

from django.urls import path

from notifications.api import estimates, named, rules, views

app_name = "notifications-api"

urlpatterns = [
    path("notifications", views.LogView.as_view(), name="log"),
    path("notifications/estimate", estimates.EstimateView.as_view(), name="estimate"),
    path("notifications/<str:notification_id>", views.NotificationView.as_view(), name="notification"),
    path("notifications/<str:notification_id>/resend", views.ResendNotificationView.as_view(), name="resend"),
    path("rules", rules.RuleListView.as_view(), name="rules"),
    path("rules/<str:rule_id>", rules.RuleView.as_view(), name="rule"),
    path("rules/<str:rule_id>/test", rules.TestRuleView.as_view(), name="rule_test"),
    path("recipients", views.RecipientListView.as_view(), name="recipients"),
    path("recipients/<str:recipient_id>", views.RecipientView.as_view(), name="recipient"),
    path("webhooks", named.WebhookListView.as_view(), name="webhooks"),
    path("webhooks/<str:webhook_id>", named.WebhookView.as_view(), name="webhook"),
    path("webhooks/<str:webhook_id>/test", named.TestWebhookView.as_view(), name="webhook_test"),
    path("services", named.ServiceListView.as_view(), name="services"),
    path("services/<str:service_id>", named.ServiceView.as_view(), name="service"),
    path("services/<str:service_id>/test", named.TestServiceView.as_view(), name="service_test"),
    path("devices/<str:device_id>/notifications/default", views.StandardView.as_view(), name="default"),
]
