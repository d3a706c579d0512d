"""When a telemetry batch is complete: by items, by bytes, or by the age of its first event.

Pure: the caller says what time it is and keeps the timer.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Batcher:
    """Gathers encoded events into batches as a subscription's `buffering` asks."""

    max_items: int
    max_bytes: int
    timeout_s: float
    deadline_s: float | None = None
    """When the open batch must go out; None while it is empty."""
    _open: list[bytes] = field(default_factory=list)
    _open_bytes: int = 0

    def add(self, event: bytes, now_s: float) -> list[bytes] | None:
        """Append an event; the completed batch if this event completed it."""
        if not self._open:
            self.deadline_s = now_s + self.timeout_s
        self._open.append(event)
        self._open_bytes += len(event)
        if len(self._open) >= self.max_items or self._open_bytes >= self.max_bytes:
            return self.take()
        return None

    def due(self, now_s: float) -> list[bytes] | None:
        """The open batch if its time has come."""
        if self.deadline_s is not None and now_s >= self.deadline_s:
            return self.take()
        return None

    def take(self) -> list[bytes]:
        """The open batch, whatever its age."""
        batch, self._open, self._open_bytes, self.deadline_s = self._open, [], 0, None
        return batch
