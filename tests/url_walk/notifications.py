"""Notifications and who gets them."""

from __future__ import annotations

from tests.url_walk.devices import API_DEVICE, DEVICE
from tests.url_walk.rows import Row, api, door, own, page

NOTIFICATION = "notifications/<device:notification_id>/"
API_NOTIFICATION = "api/v1/notifications/<str:notification_id>"
RECIPIENT = "notifications/recipients/<device:recipient_id>/"

RULE = "notifications/rules/<device:rule_id>/"
API_RULE = "api/v1/rules/<str:rule_id>"
API_WEBHOOK, API_SERVICE = "api/v1/webhooks/<str:webhook_id>", "api/v1/services/<str:service_id>"

TABLE: dict[str, Row] = {
    "notifications/": page(GET="200"),
    NOTIFICATION: page(GET="404 200"),
    NOTIFICATION + "resend/": page(POST="404 403 302"),
    "notifications/recipients/": page(GET="200", POST="400"),
    "notifications/rules/": page(GET="200"),
    "notifications/rules/new/": page(GET="200", POST="400"),
    RULE: page(GET="404 403 403 200", POST="404 403 403 400"),
    RULE + "switch/": page(POST="404 403 403 302"),
    RULE + "delete/": page(POST="404 403 403 302", fresh=True),
    RULE + "test/": page(POST="404 403 403 302"),
    "api/v1/rules": api(GET="200", POST="400"),
    API_RULE: api(fresh=True, GET="404 200", PATCH="404 403 403 200", DELETE="404 403 403 204"),
    API_RULE + "/test": api(POST="404 403 403 202"),
    "notifications/preferences/": page(GET="200", POST="302"),
    RECIPIENT + "remove/": page(POST="404 403 403 302", fresh=True),
    RECIPIENT + "ask/": page(POST="404 403 403 302"),
    RECIPIENT + "test/": page(POST="404 403 403 302"),
    "notifications/recipients/webhook/": page(GET="200", POST="400"),
    "notifications/recipients/service/": page(GET="200", POST="400"),
    "notifications/push/": page(POST="302"),
    "notifications/push/try/": page(POST="302"),
    "notifications/push/worker.js": door(GET="200"),
    "notifications/push/<device:browser_id>/remove/": own(POST="404 302", fresh=True),
    "notifications/confirm/<str:secret>/": door(GET="404", POST="404"),
    "notifications/unsubscribe/<str:secret>/": door(GET="404", POST="404"),
    DEVICE + "notifications/default/": page(POST="404 403 403 302"),
    DEVICE + "notifications/cost/": page(POST="404 403 400"),
    API_DEVICE + "/notifications/default": api(GET="404 200", PUT="404 403 403 400"),
    "api/v1/notifications": api(GET="200", POST="400"),
    API_NOTIFICATION: api(GET="404 200"),
    API_NOTIFICATION + "/resend": api(POST="404 403 202"),
    "api/v1/recipients": api(GET="200", POST="400"),
    "api/v1/recipients/<str:recipient_id>": api(fresh=True, DELETE="404 403 403 204"),
    "api/v1/notifications/estimate": api(POST="400"),
    "api/v1/webhooks": api(GET="200", POST="400"),
    API_WEBHOOK: api(fresh=True, GET="404 200", DELETE="404 403 403 204"),
    API_WEBHOOK + "/test": api(POST="404 403 403 202"),
    "api/v1/services": api(GET="200", POST="400"),
    API_SERVICE: api(fresh=True, GET="404 200", DELETE="404 403 403 204"),
    API_SERVICE + "/test": api(POST="404 403 403 202"),
    "receipts/twilio/": door(POST="404"),  # not set up here
    "receipts/vonage/": door(POST="404"),
    "receipts/aws/": door(POST="404"),
    "receipts/mail/<slug:provider>/": door(POST="404"),
}
