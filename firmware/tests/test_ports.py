"""The ports to microcontrollers: they compile, as C99 and without a warning, against headers that declare what they call."""

from pathlib import Path

import pytest

from devices.config_header import HeaderValues, config_header
from firmware.tests.build import make, needs_compiler
from simulators.tests.pki import Authority

pytestmark = [needs_compiler, pytest.mark.xdist_group("firmware")]


def test_both_compile_with_the_header_that_the_portal_makes(tmp_path: Path) -> None:
    authority, device_id = Authority(), "0123456789abcdef" * 2
    issued = authority.device(device_id)
    values = HeaderValues(
        device_id, 'A "pump"', "modern", "mqtt.example.com", 8883, authority.root, issued.certificate, issued.key
    )
    (tmp_path / "iot_config.h").write_text(config_header(values))
    said = make(tmp_path / "build", "ports", f"IOT_CONFIG={tmp_path}/iot_config.h")
    assert said.count("compiles: ports/esp-idf/") == 4
    assert said.count("compiles: ports/ft9xx/") == 3
