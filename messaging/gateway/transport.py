"""What the gateway needs of a broker, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class BrokerUnavailable(Exception):
    """There is no connection to the broker."""


class Transport(Protocol):
    """One long-lived connection to the broker, used from one event loop."""

    on_answer: Callable[[str, bytes], None]  # topic, payload; called for every message of a bound device
    on_lost: Callable[[], None]  # the connection broke; what was published and not confirmed may be gone

    async def start(self) -> None:
        """Begin to connect and keep connected, with back-off."""

    async def stop(self) -> None:
        """Disconnect for good."""

    async def wait_connected(self, timeout_s: float) -> None:
        """Return when connected.

        Raises:
            BrokerUnavailable: not within `timeout_s`.
        """

    def is_bound(self, device: str) -> bool:
        """Say whether there is a connection and `device` is bound, so that there is nothing to wait for."""

    async def bind(self, device: str) -> None:
        """Have the answers of `device` (32 hex digits) delivered; return when the broker has agreed.

        Raises:
            BrokerUnavailable: the connection is gone, or the broker refused.
        """

    def publish(self, topic: str, payload: bytes, on_taken: Callable[[], None]) -> None:
        """Publish once, QoS 1, never again after a reconnect; `on_taken` is called when the broker has it.

        Raises:
            BrokerUnavailable: there is no connection.
        """
