"""The Celery application: `celery -A iotportal worker`."""

import os

from celery import Celery
from celery.signals import beat_init, worker_ready
from django.conf import settings

from messaging.bridge.step import BridgeStep, bridge_lives

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotportal.settings")

app = Celery("iotportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(BridgeStep)  # runs only where PORTAL_BRIDGE says so


@worker_ready.connect
def _watch_worker(**kwargs: object) -> None:
    from iotportal import watch  # here, because Django is set up by now
    from messaging import metrics

    metrics.look_up()
    watch.start(alive={"bridge": bridge_lives} if settings.BRIDGE else None)


@beat_init.connect
def _watch_beat(**kwargs: object) -> None:
    from iotportal import watch

    watch.start(without="broker")
