"""The part of a Celery worker that is the bridge: `PORTAL_BRIDGE=1 celery -A iotportal worker -P threads`."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from django.conf import settings

if TYPE_CHECKING:
    from messaging.bridge.runner import Bridge
    from messaging.rabbitmq.arrivals import Arrivals
    from messaging.rabbitmq.warden import Warden

logger = logging.getLogger(__name__)

STOP_S = 10.0
# The bridge's threads hand the interpreter to one another for every message; Python's 5 ms would be most of a message's way to
# a page (12 ms against 7 at 1,000 messages/s).
SWITCH_S = 0.0005


_running: list[Bridge] = []  # of this process: one or none


def bridge_lives() -> None:
    """Raise RuntimeError if the bridge of this process has ended without being told to."""
    if not all(bridge.lives for bridge in _running):
        raise RuntimeError("the bridge's thread has ended")


class BridgeStep(bootsteps.StartStopStep):
    """Runs the bridge beside the worker's pool, in threads of its own."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._bridge: Bridge | None = None
        self._warden: Warden | None = None
        self._arrivals: Arrivals | None = None

    def include_if(self, parent: Any) -> bool:
        """Tell whether this worker was asked to run the bridge."""
        return bool(settings.BRIDGE)

    def start(self, parent: Any) -> None:
        """Start the bridge; models can be imported only now that Django is set up."""
        from messaging.bridge.factory import make_bridge

        sys.setswitchinterval(SWITCH_S)
        if settings.BROKER == "rabbitmq":
            from messaging.rabbitmq.arrivals import Arrivals
            from messaging.rabbitmq.warden import Warden

            self._warden, self._arrivals = Warden(), Arrivals()
            self._warden.start()
            self._arrivals.start()
        self._bridge = make_bridge(self._arrivals.came if self._arrivals else None)
        self._bridge.start()
        _running.append(self._bridge)

    def stop(self, parent: Any) -> None:
        """Let it finish its batch and close its session's connection."""
        if self._warden is not None:
            self._warden.stop()
        bridge, self._bridge = self._bridge, None
        _running.clear()
        if bridge is not None and not bridge.stop(STOP_S):
            logger.error("the bridge did not stop in %.0f s; what it had not acknowledged will come again", STOP_S)
        if self._arrivals is not None:
            self._arrivals.stop()

    def terminate(self, parent: Any) -> None:
        """Stop, whatever the pool is doing."""
        self.stop(parent)
