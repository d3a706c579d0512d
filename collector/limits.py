"""Who may stay and who may be read: the collector's limits on connections and memory. Touches no socket.

Places: whoever comes is served at once, in the place of one that lost its use. That one is closed if nothing is under
way on it, and otherwise left aside: still open and not read, until there is a place again. Closed, it would only come
anew, and the platform would have to queue behind it.

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

# Left aside beyond those: a process has 1,024 descriptors, and needs some for itself.
MOST_ASIDE = 768

# What each connection may keep beside the one batch that is always possible: a read's worth of small requests.
CONNECTION_BYTES = 8192

# Who makes room first for a connection that comes, if there is none.
_OVER, _UNUSED, _USELESS, _USEFUL, _BUSY, _SILENT, _NEVER = range(7)


class Connections:
    """The open connections.

    Args:
        batch_limit_bytes: Largest batch, which must always fit.
        most: How many there may be, but for those left aside.
        most_aside: How many of those.

    Attributes:
        by_fd: The connections, but for those left aside.
        aside: Those, the first one first.
        most_aside: As given.
        is_turned_away: Somebody may wait to be accepted, and there is no room.
    """

    def __init__(self, batch_limit_bytes: int, most: int = MOST_CONNECTIONS, most_aside: int = MOST_ASIDE) -> None:
        self._most = most
        self.most_aside = most_aside
        self._limit_bytes = batch_limit_bytes + most * CONNECTION_BYTES
        self._kept_bytes = 0
        self.by_fd: dict[int, Connection] = {}
        self.aside: dict[int, Connection] = {}
        self.is_turned_away = False

    @property
    def is_short(self) -> bool:
        """Whether memory is short."""
        return self._kept_bytes > self._limit_bytes

    @property
    def is_pressed(self) -> bool:
        """Whether slow connections take what others need."""
        return self.is_short or self.is_turned_away or bool(self.aside)

    @property
    def is_crowded(self) -> bool:
        """Whether there is one connection too many: the last one may stay, another may not come."""
        return len(self.by_fd) > self._most

    def add(self, connection: Connection) -> None:
        """A connection was accepted."""
        self.by_fd[connection.fd] = connection

    def remove(self, connection: Connection) -> None:
        """A connection is closed."""
        if self.by_fd.pop(connection.fd, None) is None:
            del self.aside[connection.fd]
        self._kept_bytes -= connection.counted_bytes
        connection.counted_bytes = 0

    def set_aside(self, connection: Connection) -> None:
        """A connection is to be read no more until there is a place."""
        self.aside[connection.fd] = self.by_fd.pop(connection.fd)

    def taken_back(self) -> Connection | None:
        """One that was left aside and has a place again; None when there is none of either."""
        if not self.aside or len(self.by_fd) >= self._most:
            return None
        fd = next(iter(self.aside))
        self.by_fd[fd] = connection = self.aside.pop(fd)
        return connection

    @property
    def first_aside(self) -> Connection | None:
        """The one left aside for longest."""
        return next(iter(self.aside.values()), None)

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
        """The connection that makes room for the one numbered `newest`.

        Over HTTP the one without a byte for longest: of those that are over, of those idle that never brought anything,
        of those that came before `came_before_s` and never did, busy as they are, of those idle that did, but for the
        `KEPT_CONNECTIONS` used last, and last of those busy that did. None of those whose batch waits for room. A
        stream of lines is never given up, the platform would not open another: of those the newest that never spoke.
        """
        ranked: dict[int, list[Connection]] = {}
        for one in self.by_fd.values():
            if one.number != newest:
                ranked.setdefault(_rank(one, came_before_s), []).append(one)
        if len(ranked.get(_USEFUL, ())) <= KEPT_CONNECTIONS:
            ranked.pop(_USEFUL, None)
        ranked.pop(_NEVER, None)
        if not ranked:
            return None
        rank = min(ranked)
        if rank == _SILENT:
            return max(ranked[rank], key=lambda one: one.number)
        return min(ranked[rank], key=lambda one: (one.progress_s, one.number))

    def _first(self) -> Connection | None:
        """The connection whose incomplete request began first."""
        begun = [one for one in self.by_fd.values() if one.started_s is not None]
        return min(begun, key=lambda one: (one.started_s, one.number)) if begun else None


def _rank(one: Connection, came_before_s: float) -> int:
    if one.lingering_s is not None:
        return _OVER
    if one.is_lines:
        return _NEVER if one.has_spoken else _SILENT
    if one.is_idle:
        return _USEFUL if one.has_kept else _UNUSED
    if one.waiting or one.accepted_s >= came_before_s:
        return _NEVER
    return _BUSY if one.has_kept else _USELESS
