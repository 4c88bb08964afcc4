"""Logs as JSON lines, and into files that do not grow for ever."""

from __future__ import annotations

import contextvars
import json
import logging
import logging.handlers
import sys
from pathlib import Path

from iotportal import logs


def line(record: logging.LogRecord) -> dict[str, object]:
    text = logs.JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


def test_a_line_has_what_was_said_and_what_it_is_about() -> None:
    record = logging.getLogger("a.b").makeRecord(
        "a.b", logging.WARNING, "file", 1, 'no "answer"\nof %s', ("Pömp",), None, extra={"command_id": "0192", "level": "forged"}
    )
    said = line(record)
    assert said["message"] == 'no "answer"\nof Pömp'
    assert (said["level"], said["logger"], said["command_id"]) == ("WARNING", "a.b", "0192")


def test_an_error_is_told_with_where_it_happened_in_one_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.getLogger("a").makeRecord("a", logging.ERROR, "file", 1, "failed", (), sys.exc_info())
    assert "ValueError: broken" in str(line(record)["exception"])


def test_a_file_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "portal.log"
    wanted = logs.configuration(level="INFO", json_lines=True, file=str(path))["handlers"]["file"]
    assert wanted.pop("filters") == ["of_command"]
    assert (wanted.pop("class"), wanted.pop("formatter")) == ("logging.handlers.RotatingFileHandler", "json")
    handler = logging.handlers.RotatingFileHandler(**{**wanted, "maxBytes": 200})
    for number in range(20):
        handler.emit(logging.makeLogRecord({"msg": "x" * 90 + str(number)}))
    handler.close()
    assert len(list(tmp_path.iterdir())) == logs.FILES


def test_what_vendors_are_sent_is_in_no_log_however_much_is_logged() -> None:
    wanted = logs.configuration(level="DEBUG", json_lines=False, file="")["loggers"]
    loud = [name for name in ("vonage", "twilio", "botocore", "urllib3") if wanted[name] != {"level": "WARNING"}]
    assert loud == []
    assert logging.getLogger("twilio.http_client").parent is logging.getLogger("twilio")


def test_what_is_logged_while_a_command_is_carried_out_has_its_id_and_what_is_about_another_has_that_ones() -> None:
    def logged(**more: str) -> dict[str, object]:
        record = logging.makeLogRecord({"msg": "something", **more})
        assert logs.OfCommand().filter(record)
        return line(record)

    assert "command" not in logged()
    context = contextvars.copy_context()
    context.run(logs.command.set, "0192")
    assert context.run(logged)["command"] == "0192"
    assert context.run(logged, command="0193")["command"] == "0193"
    assert "command" not in logged()
