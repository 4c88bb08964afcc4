"""The examples of the guides run as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from accounts.services import log_in
from iotportal.problems import TITLES
from tests.api.live import LivePortal, committed, until

pytestmark = [pytest.mark.django_db, pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")]

GUIDE = (settings.BASE_DIR / "docs" / "api.md").read_text()
EXAMPLES = [block for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) if "curl" in block]
STRICT = 'set -eu\ncurl() { command curl --silent --show-error --fail-with-body --max-time 30 "$@"; }\n'


def run(portal: LivePortal, folder: Path, script: str) -> str:
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PORTAL": portal.url,
        "TOKEN": portal.secret,
        "ACCESS": committed(lambda: log_in(user=portal.user, ip=None, user_agent="").access),
        "DEVICE": portal.device.hex,
    }
    done = subprocess.run(
        ["bash", "-c", STRICT + script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def names(portal: LivePortal) -> Iterator[None]:
    """Give the device its name back, by which other tests call it."""
    yield
    portal.ask("PATCH", portal.device_path, json={"name": portal.device.name}).raise_for_status()


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.sub(r"\W+", "-", text)[:60])
def test_an_example_of_the_guide_works(portal: LivePortal, tmp_path: Path, example: str) -> None:
    until(lambda: portal.ask("GET", f"{portal.device_path}/status?timeout=1").ok, "the device, which one example restarts")
    said = run(portal, tmp_path, example)
    assert json.loads(said) if said else "DELETE" in example or any(file.stat().st_size > 1000 for file in tmp_path.iterdir())


def test_the_guide_to_profiles_works_from_its_first_line_to_its_last(portal: LivePortal, tmp_path: Path) -> None:
    guide = (settings.BASE_DIR / "docs" / "profiles.md").read_text()
    said = run(portal, tmp_path, "\n".join(re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)))
    for text in ('"moisture":', '"value":"half"', '\\"ajar\\" is not possible here'):
        assert text in said


def test_the_guide_lists_every_error_that_the_api_knows() -> None:
    listed = {int(status) for status in re.findall(r"^\| (\d{3}) \|", GUIDE, re.MULTILINE)}
    assert listed == set(TITLES)
