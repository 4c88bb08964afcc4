"""The Celery application: `celery -A iotportal worker`."""

import os

from celery import Celery

from messaging.bridge.step import BridgeStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotportal.settings")

app = Celery("iotportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(BridgeStep)  # runs only where PORTAL_BRIDGE says so
