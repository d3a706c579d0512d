"""The extension's own log: structlog, JSON lines on standard output, imported when the first line is written.

Event names are constants of the form `area.past_participle`; fields carry units. Every line begins with
`{"logger":"tailrace.`, by which the collector and the shipper know our own lines when the platform sends them
back as `extension` records. Values that may be secrets are blanked in every field, wherever they stand.

Saying something never fails: should structlog not load, the line is written without it.
"""

import os
import sys
from collections.abc import Callable, Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from msgspec import Struct

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
LOGGER_START = "tailrace."
LINE_START = f'{{"logger":"{LOGGER_START}'
BLANK = "***"

# A shorter value would blank parts of innocent words.
SHORTEST_SECRET = 4


class Log:
    """Writes lines at or above a level.

    Args:
        component: `lifecycle`, `collector` or `shipper`.
        level: `debug`, `info`, `warning` or `error`.
        secrets: Texts to blank.
        write: Takes one finished line; standard output unless given.
    """

    def __init__(
        self,
        component: str,
        level: str = "warning",
        secrets: Iterable[str] = (),
        write: Callable[[bytes], object] | None = None,
    ) -> None:
        self.component = component
        self.level = level
        self.secrets = tuple(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
        self._threshold = LEVELS[level]
        self._write = write or _write_stdout
        self._logger: Any = None
        self.is_debug = self._threshold <= LEVELS["debug"]

    def named(self, component: str) -> "Log":
        """The same log for another component."""
        return Log(component, self.level, self.secrets, self._write)

    def debug(self, event: str, **fields: object) -> None:
        """What one needs to follow a batch or a decision."""
        if self.is_debug:
            self._line("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """What happened once in an environment's life."""
        if self._threshold <= LEVELS["info"]:
            self._line("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """What somebody should look at; the function is not affected."""
        if self._threshold <= LEVELS["warning"]:
            self._line("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """What keeps the extension from doing its work."""
        self._line("error", event, fields)

    def _line(self, level: str, event: str, fields: dict[str, object]) -> None:
        fields = {name: self._blanked(value) for name, value in fields.items()}
        try:
            if self._logger is None:
                self._logger = _structlog_logger(self._write, self._ordered)
            getattr(self._logger, level)(event, **fields)
        except Exception as exc:  # noqa: BLE001 - a line must never be what goes wrong
            self._write(_plain_line(self.component, level, event, {**fields, "log_error": type(exc).__name__}))

    def _blanked(self, value: object) -> object:
        """The value without what is secret; what is no plain value is shown as text."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {str(name): self._blanked(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._blanked(inner) for inner in value]
        text = str(value)
        for secret in self.secrets:
            text = text.replace(secret, BLANK)
        return text

    def _ordered(self, _logger: object, level: str, event_dict: "dict[str, Any]") -> "dict[str, Any]":
        event = event_dict.pop("event")
        time = event_dict.pop("time")
        logger = LOGGER_START + self.component
        return {"logger": logger, "level": level, "event": event, "time": time, "pid": os.getpid(), **event_dict}


def fields_of(message: "Struct") -> "dict[str, Any]":
    """A message, event or command as fields of a line, named by its type; of context, which is opaque, nothing."""
    line = {"what": type(message).__name__}
    line |= {name: getattr(message, name) for name in message.__struct_fields__ if name != "context"}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in line.items()}


def _structlog_logger(write: Callable[[bytes], object], ordered: "Any") -> "Any":
    """A structlog logger that hands finished lines to `write`."""
    import msgspec

    from lifecycle.contract import lean

    lean.load_structlog()
    import structlog

    to_json = msgspec.json.Encoder().encode

    def render(_logger: object, _level: str, event_dict: "dict[str, Any]") -> bytes:
        return to_json(event_dict)

    class Lines:
        """structlog's idea of a logger: a method a level."""

        def msg(self, line: bytes) -> None:
            write(line + b"\n")

        debug = info = warning = error = msg

    stamp: Any = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
    processors: list[Any] = [stamp, ordered, render]
    return structlog.wrap_logger(
        Lines(),
        processors=processors,
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _plain_line(component: str, level: str, event: str, fields: dict[str, object]) -> bytes:
    """A line without the libraries: they may be what cannot be loaded."""
    import json

    line = {"logger": LOGGER_START + component, "level": level, "event": event, **fields}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _write_stdout(line: bytes) -> None:
    """One line, one write: lines of three processes never mix. Nobody listening is nobody's error."""
    try:
        os.write(sys.__stdout__.fileno() if sys.__stdout__ else 1, line)
    except OSError:
        return
