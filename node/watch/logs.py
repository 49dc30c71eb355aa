"""How a log line looks: text for people, or one JSON object per line for machines."""

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

# What every record has; anything else on it was given as `extra` by who logged it.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# Names of ours, which facts with the same name give way to.
_TAKEN: Final = frozenset({"time", "level", "logger", "message", "exception", "stack"})


def formatter(format: str) -> logging.Formatter:
    """The formatter of a `log.format` setting."""
    return JsonFormatter() if format == "json" else logging.Formatter(_TEXT)


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, then the facts of the message, and the exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _OWN:
                fields[f"{name}_" if name in _TAKEN else name] = value
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["exception"] = {
                "type": type(error).__name__,
                "text": str(error),
                "trace": self.formatException(record.exc_info),
            }
        if record.stack_info:
            fields["stack"] = record.stack_info
        # Escaped to ASCII, so that no character of a message can end or split a line.
        try:
            return _encoded(fields)
        except (ValueError, RecursionError):  # NaN, or a fact that holds itself
            return _encoded({name: str(value) for name, value in fields.items()})


def _encoded(fields: dict[str, Any]) -> str:
    return json.dumps(fields, default=_shown, separators=(",", ":"), skipkeys=True, allow_nan=False)


def _shown(value: object) -> str:
    """What JSON has no form for: bytes in hex, all else in its own words."""
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
