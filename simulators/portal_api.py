"""The portal's API, as far as a test of a device needs it, with nothing but the standard library."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

LARGEST_BYTES = 1024 * 1024
WAIT_S = 45.0  # the longest command takes 30


class PortalProblem(Exception):
    """The portal cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Answered:
    """A device's answer. `answered_ms`: from the command's acceptance to the answer's arrival, as the portal measured it."""

    id: str
    device: str
    api: str
    answer: Mapping[str, Any]
    answered_ms: float


@dataclass(frozen=True)
class Refused:
    """No answer, or an error in its place. `code`: as docs/api.md lists them."""

    code: str
    why: str


class PortalApi:
    """One portal, and a token that it knows."""

    def __init__(self, url: str, token: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise PortalProblem(f"{url} is not the portal's address: it begins with https:// or http://")
        self._url = url.rstrip("/") + "/api/v1"
        self._token = token

    def send(self, device: str, api: str, arguments: Mapping[str, Any], timeout_s: float | None = None) -> Answered | Refused:
        """Send one command and wait for its end. Raises PortalProblem: nothing can be sent at all."""
        body: dict[str, Any] = {"api": api, "arguments": dict(arguments)}
        if timeout_s is not None:
            body["timeout"] = timeout_s
        status, said = self._ask("POST", f"/devices/{device}/commands", body)
        if status == 200:
            return Answered(said["id"], device, api, said["answer"], float(said["timeline"]["answered"] or 0.0))
        if status in (401, 402, 403, 404, 429):
            raise PortalProblem(f"The portal does not send: {said.get('detail', status)}")
        errors = " ".join(f"{name}: {' '.join(texts)}" for name, texts in dict(said.get("errors") or {}).items())
        return Refused(str(said.get("code", status)), f"{said.get('detail', status)} {errors}".strip())

    def said(self, answer: Answered) -> bytes | None:
        """Return the message that was this answer, as the device published it; None while the history does not have it."""
        about = {"device": answer.device, "api": answer.api, "direction": "from", "since": _began(answer).isoformat()}
        status, page = self._ask("GET", f"/messages?{urllib.parse.urlencode(about)}", None)
        if status != 200 or not page["results"]:
            return None
        return str(page["results"][0]["payload"]).encode("utf-8")

    def has_come_since(self, answer: Answered) -> bool:
        """Say whether the device has connected after it gave this answer. Raises PortalProblem: there is no such device."""
        status, said = self._ask("GET", f"/devices/{answer.device}/presence", None)
        if status != 200:
            raise PortalProblem(f"The portal does not show the device: {said.get('detail', status)}")
        return any(
            one["state"] == "connected" and datetime.fromisoformat(one["time"]) > _began(answer) for one in said["results"]
        )

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, method=method)  # noqa: S310 - http and https alone, see above
        request.add_header("Accept", "application/json")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")  # wherever it sends us, the token stays here
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310 - http and https alone, see above
                return answer.status, json.loads(answer.read(LARGEST_BYTES))
        except urllib.error.HTTPError as error:
            try:
                return error.code, json.loads(error.read(LARGEST_BYTES))
            except ValueError:
                return error.code, {}
        except (OSError, ValueError) as error:
            raise PortalProblem(f"{self._url} cannot be used: {error}") from error


def _began(answer: Answered) -> datetime:
    """Return when the command was accepted, by the portal's own clock: its id is a UUIDv7."""
    return datetime.fromtimestamp((UUID(answer.id).int >> 80) / 1000, UTC)
