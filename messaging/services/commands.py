"""Sending a command from synchronous code: pages without a script, DRF, tasks."""

from __future__ import annotations

from collections.abc import Mapping

from accounts.models import ApiToken, User
from devices.models import Device
from messaging.gateway.admission import Caller, Source
from messaging.gateway.core import CommandResult
from messaging.gateway.runtime import run_from_thread


def send_command(
    *,
    user: User,
    device: Device,
    api: str,
    arguments: Mapping[str, object],
    timeout_s: float | None = None,
    token: ApiToken | None = None,
    source: Source = Source.PAGE,
) -> CommandResult:
    """Send one command for `user` and wait for the device's answer.

    Raises:
        iotportal.problems.Problem: as `Gateway.send` lists them.
    """
    caller = Caller(user_id=user.pk, token_hash=token.token_hash if token else None, source=source)
    return run_from_thread(lambda gateway: gateway.send(caller, device.hex, api, arguments, timeout_s))
