"""The description of the API is whole and says what is true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator
from pytest_django import Settings

from accounts.services import create_organisation, log_in
from devices.tests.factories import make_device, make_user
from iotportal.openapi import whole_schema
from iotportal.problems import CONTENT_TYPE
from messaging.operations import OPERATIONS

DOCS = (settings.BASE_DIR / "docs" / "api.md").read_text()


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, one) for path, methods in whole_schema()["paths"].items() for method, one in methods.items()]


def test_it_is_valid_and_made_without_a_warning(tmp_path: Any) -> None:
    target = tmp_path / "schema.json"
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", "--file", str(target))
    validate_schema(json.loads(target.read_text()))  # type: ignore[no-untyped-call]  # the library's has no types


@pytest.mark.parametrize(("method", "path", "operation"), operations())
def test_every_operation_says_what_it_is_takes_and_answers(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["operationId"]
    assert operation["summary"]
    assert operation["description"].endswith((".", ")."))
    assert len(operation["tags"]) == 1
    for parameter in operation.get("parameters", []):
        assert parameter.get("description") or parameter["schema"].get("enum"), parameter["name"]
    answers = operation["responses"]
    assert any(int(status) < 300 for status in answers)
    for status, answer in answers.items():
        assert answer["description"] or int(status) < 300
        if int(status) >= 400:
            assert list(answer["content"]) == [CONTENT_TYPE]
            assert answer["content"][CONTENT_TYPE]["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert {"403", "406", "429", "503"} <= set(answers)
    assert "Retry-After" in answers["429"]["headers"]
    assert ("{" in path) <= ("404" in answers)
    assert ("requestBody" in operation) == bool({"413", "415"} & set(answers))


def allows(schema: Any) -> Any:
    """Return an OpenAPI 3.0 schema as JSON Schema has it: what is nullable may be null."""
    if isinstance(schema, list):
        return [allows(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: allows(one) for key, one in schema.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def test_every_body_and_answer_has_an_example_that_its_schema_allows() -> None:
    components = allows({"schemas": whole_schema()["components"]["schemas"]})
    wrong = []
    for method, path, operation in operations():
        bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for what, body in bodies.items():
            for media in body.get("content", {}).values():
                if media["schema"].get("format") == "binary":
                    continue
                found = media["examples"]["problem"]["$ref"].split("/")[2:] if "examples" in media else None
                example = whole_schema()["components"][found[0]][found[1]]["value"] if found else media.get("example", ...)
                validator = Draft202012Validator({**allows(media["schema"]), "components": components})
                wrong += [f"{method} {path} {what}: {e.json_path} {e.message[:90]}" for e in validator.iter_errors(example)]
                if what.isdigit() and int(what) >= 400:
                    assert example["status"] == int(what)
    assert wrong == [], "iotportal/openapi_examples.py has a word for each field"


def test_every_example_of_a_body_is_taken_as_it_stands(pki: Path, db: None, clean_valkey: None, settings: Settings) -> None:
    settings.DEVICE_PASSWORDS = True
    alice = make_user("alice")
    works = create_organisation(user=alice, name="Waterworks")
    pump = make_device(works, "Pump 9")
    certificate = pump.certificates.get()
    ids = {"account_id": works.pk.hex, "device_id": pump.hex, "certificate_id": certificate.pk.hex, "user_id": alice.uuid.hex}
    signed_in = {"authorization": f"Bearer {log_in(user=alice, ip=None, user_agent='').access}"}
    refused = []
    for method, path, operation in operations():
        if "requestBody" not in operation or "commands" in operation["tags"]:
            continue
        example = operation["requestBody"]["content"]["application/json"]["example"]
        where = re.sub(r"\{(\w+)\}", lambda name: ids.get(name[1], "0" * 32), path)
        answer = getattr(Client(headers=signed_in), method)(where, json.dumps(example), content_type="application/json")
        if answer.status_code in {400, 415, 422} or answer.status_code >= 500:
            refused.append((method, path, answer.status_code, answer.content))
    assert [one for one in refused if one[1] != "/api/v1/claims"] == [], "nobody was given that code"


def test_every_operation_lists_the_refusals_that_it_can_give() -> None:
    missing = []
    for method, path, operation in operations():
        needed = {"403", "406", "429", "503"}
        needed |= {"401"} if operation.get("security", [{}]) != [{}] else set()
        needed |= {"404"} if "{" in path else set()
        needed |= {"409", "422"} if method in {"post", "put", "patch", "delete"} else set()
        needed |= {"400", "413", "415"} if "requestBody" in operation else set()
        needed |= {"400"} if any(one["in"] == "query" for one in operation.get("parameters", [])) else set()
        missing += [f"{method} {path}: {status}" for status in sorted(needed - set(operation["responses"]))]
    assert missing == []


def test_every_parameter_says_what_it_is_and_what_it_looks_like() -> None:
    silent = {
        f"{path}: {one['name']}"
        for _, path, operation in operations()
        for one in operation.get("parameters", [])
        if not one.get("description")
        or not ((one.keys() | one["schema"].keys()) & {"example", "enum"} or "Such as `" in one["description"])
    }
    assert silent == set()


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_every_operation_of_the_raw_handler_is_described(method: str, path: str) -> None:
    number = "/{number}" if OPERATIONS[method, path].numbered else ""
    operation = whole_schema()["paths"][f"/api/v1/devices/{{device_id}}/{path}{number}"][method.lower()]
    assert operation["summary"] == OPERATIONS[method, path].title
    assert {"400", "401", "402", "404", "409", "429", "502", "503", "504"} <= set(operation["responses"])
    body = operation.get("requestBody")
    if body:
        name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        described = set(whole_schema()["components"]["schemas"][name]["properties"])
        assert described == {*OPERATIONS[method, path].takes, "timeout"}


@pytest.mark.parametrize(("method", "path", "operation"), operations())
def test_every_operation_has_its_curl_line_in_the_guide(method: str, path: str, operation: dict[str, Any]) -> None:
    assert f"`{method.upper()} {path}`" in DOCS, "docs/api.md does not have it"


def test_it_is_served_as_yaml_and_as_json(db: None) -> None:
    assert Client().get("/api/v1/schema")["Content-Type"].startswith("application/vnd.oai.openapi")
    as_json = Client().get("/api/v1/schema?format=json")
    assert as_json.json()["openapi"].startswith("3.")
    assert Client().get("/api/v1/schema", HTTP_ACCEPT="application/vnd.oai.openapi+json").json() == as_json.json()


def test_the_docs_page_keeps_its_scripts_secret_to_itself(db: None) -> None:
    answer = Client().get("/api/v1/docs?script")
    assert "no-store" in answer["Cache-Control"]
    assert answer["Content-Type"] == "application/javascript"
