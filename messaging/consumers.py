"""The page's WebSocket: live events come, commands go (the frames are in docs/live.md)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from time import monotonic
from typing import Any
from uuid import UUID

from channels.consumer import get_handler_name
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from accounts.models import User
from devices.access import parse_device_id
from devices.models import Device
from iotportal.fast_json import encode
from iotportal.problems import Problem
from messaging import live
from messaging.events import account_group, device_group, session_group, user_group
from messaging.gateway import runtime
from messaging.gateway.admission import Caller, Source

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES = 64 * 1024
MAX_COMMANDS = 32  # of one page, on their way at once
MAX_WATCHED = 200
MAX_WATCHES = 60  # frames of one page in a minute: each asks the database
CLOSE_SIGN_IN = 4401
CLOSE_TOO_LARGE = 1009


class LiveConsumer(AsyncWebsocketConsumer):
    """One per open page. It subscribes and forwards; nothing is computed here."""

    user: User
    own_groups: set[str]  # of the user and the session
    watched: set[str]  # groups of accounts and devices
    devices: set[UUID]
    everything: bool
    watches: deque[float]
    commands: set[asyncio.Task[None]]

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Hand a message to its method.

        Channels visits a thread before each to close old database connections there; here `database_sync_to_async` does that
        where the database is asked, and most messages are commands and live events, which do not ask it.
        """
        handler = getattr(self, get_handler_name(message), None)
        if handler is None:
            raise ValueError(f"no handler for a message of type {message['type']}")
        await handler(message)

    async def connect(self) -> None:
        """Let a signed-in user in."""
        self.own_groups, self.watched, self.devices, self.everything = set(), set(), set(), False
        self.commands, self.watches = set(), deque(maxlen=MAX_WATCHES)
        scope: dict[str, Any] = dict(self.scope)
        user = scope.get("user")
        await self.accept()
        if not isinstance(user, User) or not user.is_active:
            await self.close(CLOSE_SIGN_IN)
            return
        self.user = user
        session_key = scope["session"].session_key
        self.own_groups = {user_group(user.pk), *([session_group(session_key)] if session_key else [])}
        for group in self.own_groups:
            await self.channel_layer.group_add(group, self.channel_name)

    async def disconnect(self, code: int) -> None:
        """Leave the groups and give up the commands nobody waits for any more."""
        for task in self.commands:
            task.cancel()
        for group in self.own_groups | self.watched:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take one frame; nonsense is answered, not fatal."""
        if not hasattr(self, "user"):
            return
        if text_data is None or len(text_data) > MAX_FRAME_BYTES:
            await self.close(CLOSE_TOO_LARGE)
            return
        try:
            frame = json.loads(text_data)
        except (ValueError, RecursionError):
            frame = None
        match frame:
            case {"do": "command", "ref": str() | int()} if len(self.commands) >= MAX_COMMANDS:
                problem = Problem(429, "throttled", "Too many commands at once. Wait for some to end.", retry_after_s=1)
                await self._say({"kind": "result", "ref": frame["ref"], "ok": False, "problem": problem.body(), "command": None})
            case {"do": "command", "ref": str() | int()}:
                self._start(frame)
            case {"do": "watch"} if self._too_many_watches():
                await self._say({"kind": "error", "detail": "Too many watch frames. Wait a little."})
            case {"do": "watch"}:
                await self._watch(frame)
            case {"do": "ping"}:
                await self._say({"kind": "pong"})
            case _:
                await self._say({"kind": "error", "detail": "That frame was not understood."})

    async def live_events(self, event: dict[str, Any]) -> None:
        """Forward a batch of live events."""
        await self._say({"kind": "events", "events": event["events"]})

    async def live_end(self, event: dict[str, Any]) -> None:
        """Close: the user signed out, changed the password or was deactivated."""
        await self.close(CLOSE_SIGN_IN)

    async def live_access(self, event: dict[str, Any]) -> None:
        """Look again what the user may see: their membership in an account began, ended or changed.

        Told in the order in which things were committed, after a watch that is being looked up: so that one cannot come through.
        """
        before = set(self.watched)
        accounts, devices = await self._visible(list(self.devices), self.everything)
        await self._follow(accounts, devices)
        if self.everything or self.watched != before or event["account"] in {account.hex for account in devices.values()}:
            await self._say({"kind": "access"})

    async def _say(self, frame: dict[str, Any]) -> None:
        await self.send(text_data=encode(frame).decode())

    # --- watching ---------------------------------------------------------------------------------------------------------

    def _too_many_watches(self) -> bool:
        now, times = monotonic(), self.watches
        if len(times) == MAX_WATCHES and now - times[0] < 60:
            return True
        times.append(now)
        return False

    async def _watch(self, frame: dict[str, Any]) -> None:
        """Join the groups of what the user may see; others' devices are not mentioned."""
        everything = frame.get("all") is True
        given = frame.get("devices")
        wanted: list[Any] = given if isinstance(given, list) else []
        ids = [key for value in wanted[:MAX_WATCHED] if isinstance(value, str) and (key := parse_device_id(value))]
        self.everything = self.everything or everything
        self.devices |= set(ids)
        accounts, devices = await self._visible(list(self.devices), self.everything)
        await self._follow(accounts, devices)
        said: dict[str, Any] = {"kind": "watching", "devices": [key.hex for key in ids if key in devices], "all": everything}
        if "since" in frame:
            said["changed"] = await asyncio.to_thread(live.changed, self.watched, frame["since"])
        await self._say(said)

    async def _follow(self, accounts: list[UUID], devices: dict[UUID, UUID]) -> None:
        """Be in the groups of these and in no others."""
        self.devices = set(devices)
        groups = {account_group(key) for key in accounts} | {device_group(account, key) for key, account in devices.items()}
        for group in self.watched - groups:
            await self.channel_layer.group_discard(group, self.channel_name)
        for group in groups - self.watched:
            await self.channel_layer.group_add(group, self.channel_name)
        self.watched = groups

    @database_sync_to_async
    def _visible(self, ids: list[UUID], everything: bool) -> tuple[list[UUID], dict[UUID, UUID]]:
        """Return the user's accounts (if all is wanted), and those of `ids` that the user may see with their accounts."""
        accounts = list(self.user.memberships.values_list("account_id", flat=True)) if everything else []
        devices = Device.objects.for_user(self.user).filter(pk__in=ids).values_list("pk", "account_id") if ids else ()
        return accounts, dict(devices)

    # --- commands ---------------------------------------------------------------------------------------------------------

    def _start(self, frame: dict[str, Any]) -> None:
        task = asyncio.get_running_loop().create_task(self._command(frame))
        self.commands.add(task)
        task.add_done_callback(self.commands.discard)

    async def _command(self, frame: dict[str, Any]) -> None:
        """Run one command for the page and say how it ended."""
        answer: dict[str, Any] = {"kind": "result", "ref": frame["ref"]}
        try:
            result = await self._send_command(frame)
        except Problem as problem:
            answer |= {"ok": False, "problem": problem.body(), "command": None}
        except Exception:
            logger.exception("a command failed")
            answer |= {
                "ok": False,
                "problem": Problem(500, "error", "Something went wrong here. It has been noted.").body(),
                "command": None,
            }
        else:
            answer |= {"ok": True, "command": result}
        await self._say(answer)

    async def _send_command(self, frame: dict[str, Any]) -> dict[str, object]:
        device, api, arguments = frame.get("device"), frame.get("api"), frame.get("arguments", {})
        if not isinstance(device, str) or not isinstance(api, str) or not isinstance(arguments, dict):
            raise Problem(400, "invalid", "A command needs device, api and arguments.")
        caller = Caller(user_id=self.user.pk, source=Source.PAGE)
        result = await runtime.current().send(caller, device, api, arguments, frame.get("timeout"))
        return result.as_json()
