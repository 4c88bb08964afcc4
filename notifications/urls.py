"""The addresses of notifications."""

from django.urls import path

import devices.converters  # noqa: F401  # makes <device:…> known: 32 hex digits
from notifications.views import costs, log, named, preferences, push, receipts, recipients, rules, standard

app_name = "notifications"

urlpatterns = [
    path("notifications/", log.log, name="log"),
    path("notifications/recipients/", recipients.recipients, name="recipients"),
    path("notifications/recipients/<device:recipient_id>/remove/", recipients.remove, name="recipient_remove"),
    path("notifications/recipients/<device:recipient_id>/ask/", recipients.ask, name="recipient_ask"),
    path("notifications/recipients/<device:recipient_id>/test/", recipients.test, name="recipient_test"),
    path("notifications/rules/", rules.rules, name="rules"),
    path("notifications/rules/new/", rules.new, name="rule_new"),
    path("notifications/rules/<device:rule_id>/", rules.edit, name="rule"),
    path("notifications/rules/<device:rule_id>/switch/", rules.switch, name="rule_switch"),
    path("notifications/rules/<device:rule_id>/delete/", rules.delete, name="rule_delete"),
    path("notifications/rules/<device:rule_id>/test/", rules.test, name="rule_test"),
    path("notifications/preferences/", preferences.preferences, name="preferences"),
    path("notifications/push/", push.switch_on, name="push"),
    path("notifications/push/worker.js", push.worker, name="push_worker"),
    path("notifications/push/try/", push.try_it, name="push_try"),
    path("notifications/push/<device:browser_id>/remove/", push.remove, name="push_remove"),
    path("notifications/recipients/webhook/", named.add_webhook, name="webhook"),
    path("notifications/recipients/service/", named.add_service, name="service"),
    path("notifications/confirm/<str:secret>/", recipients.confirm, name="confirm"),
    path("notifications/unsubscribe/<str:secret>/", recipients.unsubscribe, name="unsubscribe"),
    path("devices/<device:device_id>/notifications/default/", standard.save, name="default"),
    path("devices/<device:device_id>/notifications/cost/", costs.cost, name="cost"),
    path("receipts/twilio/", receipts.twilio, name="twilio"),
    path("receipts/vonage/", receipts.vonage, name="vonage"),
    path("receipts/aws/", receipts.aws, name="aws"),
    path("receipts/mail/<slug:provider>/", receipts.mail, name="mail_receipts"),
    path("notifications/<device:notification_id>/", log.detail, name="detail"),
    path("notifications/<device:notification_id>/resend/", log.resend, name="resend"),
]
