"""Where every telemetry event passes: kept for replay while subscribing is possible, offered to everyone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sandbox.delivery import Subscription
    from tests.sandbox.events import Event


class TelemetryHub:
    """All events of the environment and all subscriptions to them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.subscriptions: dict[str, Subscription] = {}
        self.window_open = False
        self.thawed = asyncio.Event()
        self.thawed.set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._replay_from = 0

    def open_window(self) -> None:
        """An init begins: subscribing is possible, and what comes now will be replayed."""
        self.window_open = True
        self._replay_from = len(self.events)

    def close_window(self) -> None:
        """Every extension has asked for its first event: nobody may subscribe any more."""
        self.window_open = False

    def emit(self, event: Event) -> None:
        """Hand an event to every subscriber."""
        self.events.append(event)
        for subscription in self.subscriptions.values():
            subscription.offer(event)

    def subscribe(self, subscription: Subscription, announcement: Event) -> None:
        """Add a subscriber, announce it, and replay to it what this init has produced so far."""
        for event in self.events[self._replay_from :]:
            subscription.offer(event)
        self.subscriptions[subscription.name] = subscription
        subscription.open()
        self.emit(announcement)

    def renew(self, subscription: Subscription, announcement: Event) -> None:
        """Take over what a subscription's name asks for now; what waits for it goes to the new place."""
        self.subscriptions[subscription.name].renew(subscription)
        self.emit(announcement)

    def close(self) -> None:
        """Stop every delivery."""
        for subscription in self.subscriptions.values():
            subscription.close()
