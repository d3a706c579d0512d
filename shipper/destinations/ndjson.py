"""Newline-delimited JSON by POST: for any HTTP intake that takes JSON lines."""

from collections.abc import Sequence

from shipper.delivery.interfaces import NO_LIMITS, Request
from shipper.delivery.outcome import Outcome
from shipper.destinations.http import Post
from shipper.destinations.lines import Lines
from shipper.model.signals import LOGS

CONTENT_TYPE = "application/x-ndjson"


class Ndjson:
    """An HTTP intake for lines.

    Args:
        post: Takes requests to its address.
        lines: Writes events.
    """

    shapes = None
    limits = NO_LIMITS

    def __init__(self, post: Post, lines: Lines) -> None:
        self.label = post.label
        self.encoder = lines
        self._post = post

    @property
    def endpoints(self) -> "dict[str, Ndjson]":
        """Lines are all that is written here."""
        return {LOGS: self}

    def build(self, items: Sequence[bytes], key: str = "") -> Request:
        """The lines."""
        del key
        return self._post.request(b"", items, b"", b"")

    def send(self, request: Request) -> Outcome:
        """Makes one request."""
        return self._post.send(request.body)[0]

    def begin(self, request: Request, within_s: float) -> None:
        """Nothing is gained by it."""

    def close(self) -> None:
        """Hangs up."""
        self._post.close()
