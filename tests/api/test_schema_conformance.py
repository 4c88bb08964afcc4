"""Schemathesis asks the running portal everything that the description allows, and much that it does not."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from iotportal.cursor import Cursor
from iotportal.openapi import whole_schema
from iotportal.uuid7 import uuid7
from tests.api.live import LivePortal, until

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

Call = Callable[[Any], Any]
Asked = set[tuple[Any, ...]]
SPOKEN = {502, 503, 504}  # a device or a broker is to blame; the description has them, and 500 it has not
TOO_LARGE = 413
RESTARTS = 2  # a device that restarts is away for a moment; more would only cost time
# What these refuse beyond their schema cannot be said in one: letters that nobody can see, bytes counted on the wire, one of two
# fields, codes that nobody was given, and recipients that can be reached in no way.
BEYOND_SCHEMA = {
    "devices_register", "devices_change", "uart_write", "notifications_trigger", "commands_send", "certificates_renew",
    "accounts_create", "accounts_rename", "invitations_create",
    "apis_get", "apis_set", "profiles_make", "profiles_save",
    "claims_make", "device_jobs_begin", "recipients_add", "notifications_send", "notification_default_set",
    "notifications_estimate", "webhooks_add", "services_add",
}  # fmt: skip
# Methods that an address does not have are asked by the walk over all addresses, in tests/test_url_walk.py.
config = schemathesis.Config.from_dict({"phases": {"coverage": {"unexpected-methods": []}}})
schema = schemathesis.openapi.from_dict(whole_schema(), config=config)
# What a signed-in browser is held to: the same operations, without the token.
for_browsers = schemathesis.openapi.from_dict(
    {
        **whole_schema(),
        "paths": {
            path: {method: {**one, "security": []} for method, one in methods.items() if "commands" in one["tags"]}
            for path, methods in whole_schema()["paths"].items()
        },
    },
    config=config,
)
bounded = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def restarts() -> Any:
    return count()


@pytest.fixture(scope="module")
def asked() -> Asked:
    return set()


@pytest.fixture(scope="module")
def signed_in() -> list[Any]:
    """Keep the one browser that all cases use: to sign in for each of them takes as long as the rest."""
    return []


def operation_id(case: Any) -> str:
    found: str = case.operation.definition.raw["operationId"]
    return found


def aim(portal: LivePortal, case: Any, restarts: Any) -> None:
    """Put a real device, account or cursor where the case has one of the right form, or nearly all answers would be 404."""
    if re.fullmatch("[0-9a-f]{32}", str(case.path_parameters.get("device_id"))):
        case.path_parameters["device_id"] = target(portal, operation_id(case), restarts)
    if re.fullmatch("[0-9a-f]{32}", str(case.path_parameters.get("account_id"))):
        case.path_parameters["account_id"] = organisation(portal)
    if re.fullmatch("[!-~]{1,255}", str(case.headers.get("Idempotency-Key"))):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex  # the tool's own would come twice, with two different requests
    if re.fullmatch("[A-Za-z0-9_-]{34}", str(case.query.get("cursor"))):
        case.query["cursor"] = str(Cursor(datetime.now(UTC), uuid7()))


def organisation(portal: LivePortal) -> str:
    """Return the id of an organisation, made now if there is none."""
    accounts = portal.ask("GET", "/api/v1/accounts").json()["results"]
    found = [one["id"] for one in accounts if one["kind"] == "organisation"]
    return str(found[0] if found else portal.ask("POST", "/api/v1/accounts", json={"name": "Waterworks"}).json()["id"])


def target(portal: LivePortal, operation: str, restarts: Any) -> str:
    match operation:
        case "devices_delete":
            return str(portal.ask("POST", "/api/v1/devices", json={"name": uuid.uuid4().hex}).json()["id"])
        case "devices_change" | "devices_forget_file" | "certificates_renew":
            return portal.broken.hex
        case "commands_send" | "apis_get" | "apis_set":
            return portal.modern.hex  # says at once that it has no such api, where others are silent
        case "restart" if next(restarts) >= RESTARTS:
            return portal.unknown
    return portal.device.hex


def was_asked(case: Any, asked: Asked) -> bool:
    """Whether the like was asked: of each field the tool makes every wrong type there is, all refused in the same place."""
    phase = case.meta.phase
    if phase.name != "coverage":
        return False
    about = phase.data.scenario, phase.data.parameter, phase.data.location, phase.data.description
    like = (id(case.operation.schema), operation_id(case), *about)
    found = like in asked
    asked.add(like)
    return found and phase.data.location is not None


def ask_and_judge(portal: LivePortal, case: Any, restarts: Any, asked: Asked, call: Call) -> None:
    if was_asked(case, asked):
        return
    aim(portal, case, restarts)
    answer = call(case)
    beyond = [positive_data_acceptance] if operation_id(case) in BEYOND_SCHEMA else []
    if answer.status_code == TOO_LARGE:  # a refusal, which the tool does not count as one
        beyond.append(negative_data_rejection)
    case.validate_response(answer, excluded_checks=[not_a_server_error, *beyond])
    assert answer.status_code < 500 or answer.status_code in SPOKEN
    if operation_id(case) == "restart" and answer.status_code == 200:
        until(lambda: portal.ask("GET", f"{portal.device_path}/status?timeout=1").ok, "the device after its restart")


@schema.parametrize()
@bounded
def test_every_operation_keeps_its_word_with_a_token(portal: LivePortal, restarts: Any, asked: Asked, case: Any) -> None:
    headers = {"Authorization": f"Bearer {portal.secret}"}
    ask_and_judge(portal, case, restarts, asked, lambda case: case.call(base_url=portal.url, headers=headers))


@for_browsers.parametrize()
@bounded
def test_drf_keeps_the_word_of_the_raw_handler(
    portal: LivePortal, restarts: Any, asked: Asked, signed_in: list[Any], case: Any
) -> None:
    def call(case: Any) -> Any:
        if not signed_in:
            signed_in.append(portal.session())
        return case.call(base_url=portal.url, session=signed_in[0])

    ask_and_judge(portal, case, restarts, asked, call)
