"""The one table of how each process of the portal is started."""

import subprocess
import sys

import pytest

from iotportal import processes
from iotportal.embedded import nginx
from iotportal.embedded.state import CHECKOUT


@pytest.mark.parametrize("name", ["web", "broker", "broker-auth"])
def test_a_process_is_started_by_its_name_and_takes_its_own_options(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "iotportal.processes", name, "--help"], cwd=CHECKOUT, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"--port" in done.stdout


def test_an_unknown_process_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert processes.main(["webb"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in processes.PROCESSES)


def test_the_template_of_nginx_leaves_its_own_variables_alone_and_misses_no_word() -> None:
    assert nginx.render("a ${ONE} $host ${ONE}b", {"ONE": "1"}) == "a 1 $host 1b"
    with pytest.raises(KeyError, match="NGINX_"):
        nginx.render(nginx.TEMPLATE.read_text(), {})
