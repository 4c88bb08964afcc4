"""Project glue and the small pieces every app shares."""

from iotportal.celery import app as celery_app

__all__ = ["celery_app"]
