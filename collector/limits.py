"""Who may stay and who may be read: the collector's limits on connections and memory. Touches no socket.

Memory: when what is kept of incomplete and waiting requests exceeds the limit, only the one that began first
is read, so that it completes and makes room; it gets little time for it. While a batch waits for the backlog
nobody is read: that wait ends by itself. Someone can therefore always go on.
"""

import math

from collector.connection import Connection

# The platform needs one or two; more come from whoever plays with the port.
MOST_CONNECTIONS = 128

# Idle connections that brought batches and stay whoever comes: the platform would have to queue behind the crowd.
KEPT_CONNECTIONS = 4

# What each connection may keep beside the one batch that is always possible: a read's worth of small requests.
CONNECTION_BYTES = 8192


class Connections:
    """The open connections.

    Args:
        batch_limit_bytes: Largest batch, which must always fit.

    Attributes:
        by_fd: The connections.
        is_turned_away: Somebody may wait to be accepted, and there is no room.
    """

    def __init__(self, batch_limit_bytes: int) -> None:
        self._limit_bytes = batch_limit_bytes + MOST_CONNECTIONS * CONNECTION_BYTES
        self._kept_bytes = 0
        self.by_fd: dict[int, Connection] = {}
        self.is_turned_away = False

    @property
    def is_short(self) -> bool:
        """Whether memory is short."""
        return self._kept_bytes > self._limit_bytes

    @property
    def is_pressed(self) -> bool:
        """Whether slow connections take what others need."""
        return self.is_short or self.is_turned_away

    @property
    def is_crowded(self) -> bool:
        """Whether there is one connection too many: the last one may stay, another may not come."""
        return len(self.by_fd) > MOST_CONNECTIONS

    def add(self, connection: Connection) -> None:
        """A connection was accepted."""
        self.by_fd[connection.fd] = connection

    def remove(self, connection: Connection) -> None:
        """A connection is closed."""
        del self.by_fd[connection.fd]
        self._kept_bytes -= connection.counted_bytes
        connection.counted_bytes = 0

    def count(self, connection: Connection) -> None:
        """Brings the account of a connection's memory up to date."""
        kept = connection.buffered_bytes
        self._kept_bytes += kept - connection.counted_bytes
        connection.counted_bytes = kept

    def may_read(self, connection: Connection, *, has_waiting: bool) -> bool:
        """Whether a connection may be read now."""
        if connection.lingering_s is not None:
            return not connection.has_finished
        if not connection.is_served or connection.has_finished:
            return False
        if not self.is_short:
            return True
        return not has_waiting and connection is self._first()

    def least_useful(self, *, newest: int, came_before_s: float = -math.inf) -> Connection | None:
        """The connection to close for the one numbered `newest`: one that lost its use, never one at work.

        Over HTTP the one unused for longest: of those that are over, of those idle that never brought anything, of
        those that came before `came_before_s` and never did, busy as they are, and last of those that did, but for
        the `KEPT_CONNECTIONS` used last. A stream of lines is never given up, the platform would not open another: of
        those the newest that never spoke.
        """
        others = [one for one in self.by_fd.values() if one.number != newest]
        others.sort(key=lambda one: (one.progress_s, one.number))
        requests = [one for one in others if not one.is_lines]
        useful = [one for one in requests if one.is_idle and one.has_kept]
        for useless in (
            [one for one in others if one.lingering_s is not None],
            [one for one in requests if one.is_idle and not one.has_kept],
            [one for one in requests if not (one.has_kept or one.waiting) and one.accepted_s < came_before_s],
            useful[:-KEPT_CONNECTIONS],
        ):
            if useless:
                return useless[0]
        silent = [one for one in others if not one.has_spoken]
        return max(silent, key=lambda one: one.number) if silent else None

    def _first(self) -> Connection | None:
        """The connection whose incomplete request began first."""
        begun = [one for one in self.by_fd.values() if one.started_s is not None]
        return min(begun, key=lambda one: (one.started_s, one.number)) if begun else None
