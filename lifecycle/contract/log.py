"""The extension's own log: structlog, JSON lines on standard output, imported when the first line is written.

Event names are constants of the form `area.past_participle`; fields carry units. Every line begins with
`{"logger":"tailrace.`, by which the collector and the shipper know our own lines when the platform sends them
back as `extension` records. Values that may be secrets are blanked in every field, wherever they stand.

Saying something neither blocks nor raises. Should structlog not load, the line is written without it; one that
standard output does not take at once is counted and let go, and the next one that it takes says how many there were.
"""

import fcntl
import os
import select
import sys
from collections.abc import Callable, Collection, Iterable
from time import gmtime, monotonic, sleep, strftime, time

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

# A pipe that poll(2) says is writable takes so much without blocking: PIPE_BUF, a page (pipe(7)).
PIECE_BYTES = 4096

# Fields with words of ours, or of the platform, in which nothing is blanked; and what is written as it is.
_OUR_WORDS = ("logger", "event", "request_id", "signal")
_PLAIN = (bool, int, float)
_LISTS = (list, tuple)

# Processes that write a line hold the lock for microseconds; one that was stopped just then is not waited for.
LOCK_TRIES = 50
LOCK_PAUSE_S = 0.0001

# From <asm-generic/ioctls.h>; the module `termios` has it, and would have to be loaded for it.
_FIONREAD = 0x541B


class Log:
    """A bound logger: writes lines at or above a level, each with the fields that are bound to it.

    It is structlog's, and made of it with the first line: until then nothing is loaded, and `bind` copies a few fields.

    Args:
        component: `lifecycle`, `collector` or `shipper`.
        level: `debug`, `info`, `warning` or `error`.
        secrets: Texts to blank.
        write: Takes one finished line, and returns False when it does not; standard output unless given.
        chain: What the loggers of the process share; if None, it is made of these.
        fields: Of each line.

    Attributes:
        is_debug: Whether lines at `debug` are written.
    """

    def __init__(
        self,
        component: str = "",
        level: str = "warning",
        secrets: Iterable[str] = (),
        write: Callable[[bytes], object] | None = None,
        *,
        chain: "_Chain | None" = None,
        fields: "dict[str, object] | None" = None,
    ) -> None:
        self._chain = chain or _Chain(component, level, secrets, write or _stdout().write)
        self._fields = fields or {}
        self._threshold = self._chain.threshold
        self._logger: Any = None
        self.is_debug = self._threshold <= LEVELS["debug"]

    def bind(self, **fields: object) -> "Log":
        """The same logger with more fields in each of its lines: for a route, a connection, a request."""
        return Log(chain=self._chain, fields={**self._fields, **fields})

    def named(self, component: str, **fields: object) -> "Log":
        """The logger of a process that was forked off this one's, likewise."""
        return Log(chain=self._chain.named(component), fields=fields)

    def bind_process(self, **fields: str) -> None:
        """More fields in each line of this process from now on, whichever logger says it; "" takes one away.

        What structlog's users do with `bind_contextvars`: a process is at one invocation at a time.
        """
        self._chain.bind(fields)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that are blanked."""
        return self._chain.secrets

    @property
    def lost_lines(self) -> int:
        """Lines not taken since one was."""
        return self._chain.lost_lines

    def hide(self, secret: str) -> None:
        """Blanks one more text from now on, whichever logger says it."""
        self._chain.hide(secret)

    def redact(self, shown: Callable[[str], str]) -> None:
        """Has every text of every line made what a reader may see of it by `shown`, which never fails."""
        self._chain.shown = shown

    def shown(self, text: str) -> str:
        """A text as a line would have it."""
        return str(self._chain.blanked(text))

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

    def load(self) -> None:
        """Loads what the first line takes, while there is time for it."""
        try:
            self._load()
        except Exception:  # noqa: BLE001 - the line itself says what is wrong
            return

    def _load(self) -> None:
        self._logger = self._chain.logger().bind(**self._fields)

    def _line(self, level: str, event: str, fields: dict[str, object]) -> None:
        try:
            if self._logger is None:
                self._load()
            getattr(self._logger, level)(event, **fields)
        except Exception as exc:  # noqa: BLE001 - a line must never be what goes wrong
            self._chain.take_plain(level, event, {**self._fields, **fields, "log_error": type(exc).__name__})


class _Chain:
    """What the loggers of a process share: structlog's processors, what they work with, and where lines go.

    Args:
        component: As in `Log`, like the others.
        level: Likewise.
        secrets: Likewise.
        write: Likewise.
    """

    def __init__(self, component: str, level: str, secrets: Iterable[str], write: Callable[[bytes], object]) -> None:
        self._component = component
        self._level = level
        self.threshold = LEVELS[level]
        self.secrets = tuple(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
        self.shown: Callable[[str], str] | None = None
        self.lost_lines = 0
        self._write = write
        self._bound: dict[str, object] = {}
        self._logger: Any = None

    def named(self, component: str) -> "_Chain":
        """That of another process, which goes on from this one's."""
        chain = _Chain(component, self._level, self.secrets, self._write)
        chain.shown, chain._bound = self.shown, self._bound
        return chain

    def bind(self, fields: "dict[str, str]") -> None:
        """See `Log.bind_process`."""
        self._bound = {**self._bound, **fields}

    @property
    def _said(self) -> "dict[str, object]":
        """What is bound and says something."""
        return {name: value for name, value in self._bound.items() if value}

    def hide(self, secret: str) -> None:
        """See `Log.hide`."""
        if len(secret) >= SHORTEST_SECRET and secret not in self.secrets:
            # The longest first: a part must not break the whole it belongs to.
            self.secrets = tuple(sorted((*self.secrets, secret), key=len, reverse=True))

    def logger(self) -> "Any":
        """The logger of structlog's, bound to the process, that hands finished lines to `take`."""
        if self._logger is None:
            self._logger = _structlog_logger(self.take, [self.merged, self.hidden], LOGGER_START + self._component)
        return self._logger

    # Processors.

    def merged(self, _logger: object, _level: str, event_dict: "dict[str, Any]") -> "dict[str, Any]":
        """With what is bound to the process."""
        return {**self._said, **event_dict}

    def hidden(self, _logger: object, _level: str, event_dict: "dict[str, Any]") -> "dict[str, Any]":
        """Without secrets, whatever the field; names of ours have none."""
        return {name: value if name in _OUR_WORDS else self.blanked(value) for name, value in event_dict.items()}

    def blanked(self, value: object) -> object:
        """The value without what is secret; what is no plain value is shown as text."""
        if value is None or isinstance(value, _PLAIN):
            return value
        if isinstance(value, dict):
            return {str(name): self.blanked(inner) for name, inner in value.items()}
        if isinstance(value, _LISTS):
            return [self.blanked(inner) for inner in value]
        try:
            text = str(value)
        except Exception:  # noqa: BLE001 - likewise, whoever's value it is
            text = type(value).__name__
        for secret in self.secrets:
            text = text.replace(secret, BLANK)
        return text if self.shown is None else self.shown(text)

    # Lines.

    def take(self, line: bytes) -> None:
        """Writes a finished line, or counts it; before the first after a loss, how many there were."""
        try:
            if self.lost_lines:
                lost = plain_line(self._component, "warning", "log.lines_lost", {"lines": self.lost_lines})
                if self._write(lost) is not False:
                    self.lost_lines = 0
            if self.lost_lines or self._write(line) is False:
                self.lost_lines += 1
        except Exception:  # noqa: BLE001 - likewise
            self.lost_lines += 1

    def take_plain(self, level: str, event: str, fields: "dict[str, object]") -> None:
        """Writes a line without structlog."""
        self.take(plain_line(self._component, level, event, self.hidden(None, level, {**self._said, **fields})))


def fields_of(message: "Struct", without: Collection[str] = ()) -> "dict[str, Any]":
    """A message, event or command as fields of a line, named by its type; of context, which is opaque, nothing.

    What may be left out of it, and says nothing, is left out: zeros, and what is false or empty. Seconds are told to
    the microsecond; a deadline, of the monotonic clock, is told by the wall's, with the seconds that are left.

    Args:
        message: To be told of.
        without: Fields that another line has.
    """
    from msgspec import NODEFAULT

    names, defaults = message.__struct_fields__, message.__struct_defaults__
    optional = {
        name
        for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True)
        if default is not NODEFAULT
    }
    line: dict[str, Any] = {"what": type(message).__name__}
    for name in names:
        value = getattr(message, name)
        if name == "context" or name in without or (name in optional and not value):
            continue
        if name == "deadline":
            line |= _told_deadline(value)
            continue
        if isinstance(value, bytes):
            value = value.hex()
        elif isinstance(value, float):
            value = round(value, 6)
        line[name] = value
    return line


def _told_deadline(deadline: float) -> "dict[str, Any]":
    left_s = deadline - monotonic()
    try:
        seconds, ms = divmod(round((time() + left_s) * 1000), 1000)
        at: object = f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{ms:03}Z"
    except (OverflowError, ValueError, OSError):  # further away than a calendar goes
        at = None
    return {"deadline": at, "left_s": round(left_s, 3)}


def _structlog_logger(write: Callable[[bytes], object], processors: "list[Any]", name: str) -> "Any":
    """A structlog logger, bound to the process, that hands finished lines to `write`."""
    import msgspec

    from lifecycle.contract import lean

    lean.load_structlog()
    import structlog

    to_json = msgspec.json.Encoder().encode

    class Lines:
        """structlog's idea of a logger: a method a level."""

        def msg(self, line: bytes) -> None:
            write(line + b"\n")

        debug = info = warning = error = msg

    chain: list[Any] = [
        *processors,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _in_order,
        structlog.processors.JSONRenderer(serializer=lambda fields, **_: to_json(fields)),
    ]
    return structlog.wrap_logger(Lines(), processors=chain, wrapper_class=structlog.BoundLogger).bind(logger=name)


def _in_order(_logger: object, level: str, event_dict: "dict[str, Any]") -> "dict[str, Any]":
    """A processor: what every line begins with, and the process."""
    first = {"logger": event_dict.pop("logger"), "level": level, "event": event_dict.pop("event")}
    return {**first, "time": event_dict.pop("time"), "pid": os.getpid(), **event_dict}


def plain_line(component: str, level: str, event: str, fields: dict[str, object]) -> bytes:
    """A line without any library: they may be what cannot be loaded."""
    line = {"logger": LOGGER_START + component, "level": level, "event": event, "pid": os.getpid(), **fields}
    return _plain_json(line).encode("utf-8", "replace") + b"\n"


def _plain_json(value: object) -> str:
    """JSON of what `Log` makes of values: nothing but plain ones."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_plain_json(str(name))}:{_plain_json(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_plain_json, value)) + "]"
    text = str(value)
    return '"' + "".join(c if c >= " " and c not in '"\\' else f"\\u{ord(c):04x}" for c in text) + '"'


class Stdout:
    """Standard output, which may be a pipe that nobody reads: whoever writes there would block for ever.

    It may be shared with the function, so it cannot be made not to block. It is asked before each write, under a lock
    that this process shares with those it forks: else another could fill it between the two. Lines of several
    processes never mix.
    """

    def __init__(self) -> None:
        try:
            self._lock = os.memfd_create("tailrace-log", os.MFD_CLOEXEC)
        except (AttributeError, OSError):  # a kernel, or a libc, without it: it is asked all the same
            self._lock = -1

    def write(self, line: bytes) -> bool:
        """Writes one line; False when not all of it was taken at once.

        Raises:
            OSError: It is closed.
        """
        fd = sys.__stdout__.fileno() if sys.__stdout__ else 1
        room = select.poll()
        room.register(fd, select.POLLOUT)
        if self._lock >= 0 and not self._is_locked():
            return False
        try:
            if len(line) > PIECE_BYTES and not _has_room(fd, len(line)):
                return False
            for at in range(0, len(line), PIECE_BYTES):
                if not room.poll(0):
                    return False
                piece = line[at : at + PIECE_BYTES]
                if os.write(fd, piece) < len(piece):
                    return False
        finally:
            if self._lock >= 0:
                os.lockf(self._lock, os.F_ULOCK, 0)
        return True

    def _is_locked(self) -> bool:
        """Whether nobody else writes from here on."""
        for _ in range(LOCK_TRIES):
            try:
                os.lockf(self._lock, os.F_TLOCK, 0)
            except OSError:
                sleep(LOCK_PAUSE_S)
            else:
                return True
        return False


_shared: list[Stdout] = []


def _stdout() -> Stdout:
    """The one there is."""
    if not _shared:
        _shared.append(Stdout())
    return _shared[0]


def _has_room(fd: int, size: int) -> bool:
    """Whether a pipe takes `size` bytes: each of its pages is at least half full, or the next line would be in it."""
    try:
        capacity = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except OSError:  # no pipe
        return True
    unread = int.from_bytes(fcntl.ioctl(fd, _FIONREAD, bytes(4)), sys.byteorder)
    return capacity - 2 * unread >= size + 2 * PIECE_BYTES
