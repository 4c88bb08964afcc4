"""Clients made from the API's description by other people's generators: they must build, and work against the running portal."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from accounts.headless import sign_in_schema
from iotportal.openapi import whole_schema
from tests.api.live import LivePortal

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

CLIENTS = Path(settings.BASE_DIR) / "tests" / "clients"
SCHEMAS = {"v1": whole_schema, "auth": sign_in_schema}


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def describe(name: str, folder: Path) -> Path:
    file = folder / f"{name}.json"
    file.write_text(json.dumps(SCHEMAS[name](), default=str))
    return file


def make_python_client(name: str, folder: Path) -> str:
    """Make a package `{name}_client` in `folder`; returns what the generator said."""
    config = folder / f"{name}.yaml"
    config.write_text("post_hooks: []\ncontent_type_overrides:\n  application/x-pkcs12: application/octet-stream\n")
    command = [Path(sys.executable).parent / "openapi-python-client", "generate", "--meta", "none", "--fail-on-warning"]
    where = ["--path", describe(name, folder), "--output-path", folder / f"{name}_client", "--config", config]
    return run(*map(str, [*command, *where]), cwd=folder)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_python_client_builds(name: str, tmp_path: Path) -> None:
    make_python_client(name, tmp_path)
    run(sys.executable, "-m", "compileall", "-q", f"{name}_client", cwd=tmp_path)


def test_the_python_client_sets_a_pin(portal: LivePortal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_python_client("v1", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    package: Any = importlib.import_module("v1_client")
    set_pin: Any = importlib.import_module("v1_client.api.commands.gpio_set")
    value: Any = importlib.import_module("v1_client.models")
    client = package.AuthenticatedClient(portal.url, portal.secret)
    answer = set_pin.sync(portal.device.hex, 10, client=client, body=value.PinRequestRequest(value=1))

    assert answer.value == 1


@pytest.mark.skipif(shutil.which("node") is None or not (CLIENTS / "node_modules").is_dir(), reason="no Node.js: see `make node`")
def test_a_typescript_client_builds_and_sets_a_pin(portal: LivePortal, tmp_path: Path) -> None:
    made = CLIENTS / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    tools = CLIENTS / "node_modules" / ".bin"
    for name in SCHEMAS:
        run(str(tools / "openapi-typescript"), str(describe(name, tmp_path)), "-o", str(made / f"{name}.d.ts"), cwd=CLIENTS)
    run(str(tools / "tsc"), "-p", ".", cwd=CLIENTS)
    said = json.loads(run("node", "made/js/use.js", portal.url, portal.secret, portal.device.hex, cwd=CLIENTS))

    assert portal.device.name in said.pop("names")
    assert said == {"value": 1, "refused": "invalid", "config": 200}
