"""Newline-delimited JSON by POST: for any HTTP intake that takes JSON lines."""

from collections.abc import Sequence

from shipper.delivery.outcome import Outcome
from shipper.destinations.http import Post
from shipper.destinations.lines import Lines

CONTENT_TYPE = "application/x-ndjson"


class Ndjson:
    """An HTTP intake for lines.

    Args:
        post: Takes requests to its address.
        lines: Writes events.
    """

    shapes = several = None

    def __init__(self, post: Post, lines: Lines) -> None:
        self.label = post.label
        self.encoder = lines
        self._post = post

    def prepare(self, signal: str, records: Sequence[bytes]) -> bytes:
        """The lines; whatever the signal, they are alike."""
        del signal
        return self._post.body(b"", records, b"", b"")

    def send(self, signal: str, body: bytes) -> Outcome:
        """Makes one request."""
        del signal
        return self._post.send(body)[0]

    def close(self) -> None:
        """Hangs up."""
        self._post.close()
