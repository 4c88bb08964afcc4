"""How the portal's processes write their logs, as the settings say."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

MAX_BYTES, FILES = 10_000_000, 5

# These write what is sent to vendors, numbers and words of SMS and keys among it, where all is logged that there is.
_TALKATIVE = ("botocore", "boto3", "twilio", "urllib3", "vonage")

command: ContextVar[str] = ContextVar("command")  # the id of the one that is being carried out, for what is logged meanwhile

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class OfCommand(logging.Filter):
    """Gives a line that is written while a command is carried out the command's id."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add it, unless the line has one; every line passes."""
        if not hasattr(record, "command") and (current := command.get("")):
            record.command = current
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line; what a call gave as `extra` (a command's id, say) becomes a field of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN and name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configuration(*, level: str, json_lines: bool, file: str) -> dict[str, Any]:
    """Return Django's LOGGING: to standard error, and to `file` too if there is one, which is kept to 5 files of 10 MB."""
    handlers: dict[str, dict[str, Any]] = {"console": {"class": "logging.StreamHandler"}}
    if file:
        rotated = {"filename": file, "maxBytes": MAX_BYTES, "backupCount": FILES - 1, "delay": True, "encoding": "utf-8"}
        handlers["file"] = {"class": "logging.handlers.RotatingFileHandler", **rotated}
    for handler in handlers.values():
        handler |= {"formatter": "json" if json_lines else "line", "filters": ["of_command"]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"of_command": {"()": "iotportal.logs.OfCommand"}},
        "formatters": {
            "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
            "json": {"()": "iotportal.logs.JsonLines"},
        },
        "handlers": handlers,
        "root": {"handlers": list(handlers), "level": level},
        "loggers": {"django.request": {"level": "ERROR"}, **{name: {"level": "WARNING"} for name in _TALKATIVE}},
    }
