"""How a backend misbehaves: actions per request, and scripts of actions that can change at run time."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.sandbox.http1 import Request


@dataclass(frozen=True)
class Ok:
    """Take the request."""


@dataclass(frozen=True)
class Status:
    """Answer with a status; `store` for a backend that took the records or did not, whatever the status says."""

    code: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    store: bool | None = None

    @property
    def stores(self) -> bool:
        """Whether the records were taken."""
        return self.code < _REDIRECTION if self.store is None else self.store


@dataclass(frozen=True)
class Slow:
    """Wait, then act."""

    delay_s: float
    then: Action = field(default_factory=Ok)


@dataclass(frozen=True)
class Hang:
    """Never answer; `store` for a backend that took the records all the same."""

    store: bool = False


@dataclass(frozen=True)
class Reset:
    """Close the connection with RST; `store` for an answer that was lost on the way."""

    store: bool = False


@dataclass(frozen=True)
class Partial:
    """OTLP partial success: take all but the last `rejected` records."""

    rejected: int
    message: str = "some records were refused"
    gzipped: bool = False


@dataclass(frozen=True)
class Raw:
    """Answer with these bytes, whatever they are, then with some others again and again; then hang up, or not."""

    data: bytes
    more: bytes = b""
    times: int = 0
    hangs_up: bool = False
    store: bool = False


@dataclass(frozen=True)
class Renegotiate:
    """Ask for another handshake of TLS 1.2 before the request is answered."""


Action = Ok | Status | Slow | Hang | Reset | Partial | Raw | Renegotiate

# Status codes from here on say that the records were not taken.
_REDIRECTION = 300
if TYPE_CHECKING:
    Script = Iterable[Action] | Callable[[Request, bytes], Action | None]


def retry_after(seconds: float, code: int = 429) -> Status:
    """Ask the client to wait."""
    return Status(code, headers={"Retry-After": f"{seconds:g}"})


def flapping(ratio: float, action: Action, seed: int) -> Iterator[Action]:
    """Fail a share of the requests, the same ones for the same seed, for ever."""
    dice = random.Random(seed)
    while True:
        yield action if dice.random() < ratio else Ok()


class Faults:
    """What the next request meets. Thread-safe; healthy until told otherwise.

    In order: an encoding that is not taken, a marker that is refused, a body that is too large, then the script, then
    health.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._script: Iterator[Action] | Callable[[Request, bytes], Action | None] | None = None
        self._markers: dict[bytes, Action] = {}
        self._limit_bytes: int | None = None
        self._early: tuple[Status, float] | None = None
        self._only: tuple[str, int] | None = None

    def script(self, script: Script) -> None:
        """Follow a list, an iterator, or a function of the request and its decompressed body.

        A list or iterator is consumed one action per request; after its end the backend is healthy.
        """
        with self._lock:
            self._script = script if callable(script) else iter(script)

    def always(self, action: Action) -> None:
        """Meet every request with the same action."""
        self.script(lambda _request, _body: action)

    def flap(self, ratio: float, action: Action | None = None, seed: int = 1) -> None:
        """Fail a share of the requests (with 503 unless told otherwise)."""
        self.script(flapping(ratio, action or Status(503), seed))

    def reject(self, marker: str, action: Action | None = None) -> None:
        """Refuse (400 unless told otherwise) every request whose decompressed body contains a text."""
        with self._lock:
            self._markers[marker.encode()] = action or Status(400, b'{"message":"invalid record"}')

    def too_large(self, limit_bytes: int | None) -> None:
        """Refuse with 413 what is larger than this once decompressed; None for no limit."""
        with self._lock:
            self._limit_bytes = limit_bytes

    def early(self, answer: Status, above_bytes: float = 0) -> None:
        """Answer before the body is read, if more than so many bytes of it are announced; then read nothing more."""
        with self._lock:
            self._early = (answer, above_bytes)

    def early_answer(self, announced_bytes: float) -> Status | None:
        """What is said to a head that announces such a body; None: read it first."""
        with self._lock:
            if self._early is not None and announced_bytes > self._early[1]:
                return self._early[0]
        return None

    def only(self, encoding: str | None, code: int = 415) -> None:
        """Refuse with 415 (or another status) what is not in this encoding, json or protobuf; None for either."""
        with self._lock:
            self._only = None if encoding is None else (encoding, code)

    def clear(self) -> None:
        """Be healthy again."""
        with self._lock:
            self._script = self._limit_bytes = self._early = self._only = None
            self._markers.clear()

    @property
    def looks_inside(self) -> bool:
        """Whether the next action depends on the decompressed body."""
        return bool(self._markers) or self._limit_bytes is not None or callable(self._script)

    def next_action(self, request: Request, body: bytes) -> Action:
        """Decide what this request meets."""
        with self._lock:
            if self._only is not None and not request.headers.get("content-type", "").endswith(self._only[0]):
                return Status(self._only[1])
            for marker, action in self._markers.items():
                if marker in body:
                    return action
            if self._limit_bytes is not None and len(body) > self._limit_bytes:
                return Status(413)
            if self._script is None:
                return Ok()
            if callable(self._script):
                return self._script(request, body) or Ok()
            return next(self._script, Ok())
