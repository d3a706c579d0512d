"""One subscriber's deliveries: buffered, in order, retried, bounded; still while the environment is frozen."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.sandbox import events
from tests.sandbox.shapes import written

if TYPE_CHECKING:
    from tests.sandbox.batching import Batcher
    from tests.sandbox.model import Platform
    from tests.sandbox.transport import Transport

# Between two tries of a batch the platform never waits longer than this.
BACKOFF_LIMIT_S = 1.0


@dataclass
class DeliveryStats:
    """What became of one subscription's events; `acknowledged` holds each as it went over the wire."""

    emitted: list[bytes] = field(default_factory=list)
    acknowledged: list[bytes] = field(default_factory=list)
    batches: int = 0
    duplicated_batches: int = 0
    failed_tries: int = 0
    refused_tries: int = 0
    refused_events: int = 0
    dropped_events: int = 0
    statuses: list[int] = field(default_factory=list)
    batch_sizes: list[int] = field(default_factory=list)
    delivered_s: list[float] = field(default_factory=list)

    @property
    def waiting_events(self) -> int:
        """How many events the platform still holds."""
        return len(self.emitted) - len(self.acknowledged) - self.refused_events - self.dropped_events


@dataclass
class Subscription:
    """Who wants what, written how, delivered where. Survives a reset of the environment."""

    name: str
    api: str
    schema: str
    types: list[str]
    json_logs: bool
    batcher: Batcher
    transport: Transport
    platform: Platform
    thawed: asyncio.Event
    flowing: asyncio.Event
    stats: DeliveryStats = field(default_factory=DeliveryStats)
    _queue: asyncio.Queue[list[bytes]] = field(default_factory=asyncio.Queue)
    _renewed: asyncio.Event = field(default_factory=asyncio.Event)
    _held_bytes: int = 0
    _untold_bytes: int = 0
    _untold_records: int = 0
    _task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start delivering."""
        self._task = asyncio.get_running_loop().create_task(self._deliver_all())

    def close(self) -> None:
        """Stop delivering; what waits is given up."""
        if self._task is not None:
            self._task.cancel()
        self.transport.close()

    def renew(self, newer: Subscription) -> None:
        """Deliver from now on as a newer subscription of the same extension says."""
        self.transport.close()
        self.transport, self.schema, self.types = newer.transport, newer.schema, newer.types
        if self.batcher.deadline_s is not None:
            self._queue.put_nowait(self.batcher.take())
        self.batcher = newer.batcher
        self._renewed.set()

    def offer(self, event: events.Event) -> None:
        """Take an event if it is subscribed to, drop it if the platform's buffer is full."""
        if event.category not in self.types:
            return
        for text in written(event, self.api, self.schema, json_logs=self.json_logs):
            self._keep(text)

    def _keep(self, text: bytes) -> None:
        self.stats.emitted.append(text)
        if self._held_bytes + len(text) > self.platform.buffer_bytes:
            self.stats.dropped_events += 1
            self._untold_bytes += len(text)
            self._untold_records += 1
            return
        self._held_bytes += len(text)
        first = self.batcher.deadline_s is None
        batch = self.batcher.add(text, time.monotonic())
        if batch is not None:
            self._queue.put_nowait(batch)
        elif first:
            asyncio.get_running_loop().call_later(self.batcher.timeout_s, self._flush)

    def _flush(self) -> None:
        if self.batcher.deadline_s is None:
            return
        now_s = time.monotonic()
        batch = self.batcher.due(now_s)
        if batch is not None:
            self._queue.put_nowait(batch)
        else:
            asyncio.get_running_loop().call_later(self.batcher.deadline_s - now_s, self._flush)

    async def _deliver_all(self) -> None:
        while True:
            batch = await self._queue.get()
            await self._deliver(batch)
            self._held_bytes -= sum(map(len, batch))
            if self._untold_records:
                dropped = events.logs_dropped(self._untold_bytes, self._untold_records)
                self._untold_bytes = self._untold_records = 0
                self.offer(dropped)

    async def _deliver(self, batch: list[bytes]) -> None:
        pause_s, refusals = self.platform.retry_base_s, 0
        while True:
            status = await self._attempt(batch)
            if status is not None and status < 300:
                break
            if status is not None and status < 500:
                self.stats.refused_tries += 1
                refusals += 1
                if refusals > self.platform.refused_retries:
                    self.stats.refused_events += len(batch)
                    return
            else:
                self.stats.failed_tries += 1
            pause_s = await self._pause(pause_s)
        self.stats.batches += 1
        self.stats.batch_sizes.append(len(batch))
        self.stats.delivered_s.append(time.monotonic())
        self.stats.acknowledged.extend(batch)
        every = self.platform.duplicate_every
        if every and self.stats.batches % every == 0:
            await self._attempt(batch)
            self.stats.duplicated_batches += 1

    async def _pause(self, pause_s: float) -> float:
        """Wait before another try, shorter if the subscription is renewed; the next pause."""
        self._renewed.clear()
        try:
            await asyncio.wait_for(self._renewed.wait(), pause_s)
        except asyncio.TimeoutError:
            return min(BACKOFF_LIMIT_S, pause_s * 2)
        return self.platform.retry_base_s

    async def _attempt(self, batch: list[bytes]) -> int | None:
        await self.thawed.wait()
        await self.flowing.wait()
        try:
            status = await asyncio.wait_for(self.transport.send(batch), self.platform.delivery_timeout_s)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError):
            return None
        self.stats.statuses.append(status)
        return status
