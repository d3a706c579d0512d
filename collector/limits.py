"""Who may stay and who may be read: the collector's limits on connections and memory. Touches no socket.

Memory: when what is kept of incomplete and waiting requests exceeds the limit, only the one that began first
is read, so that it completes and makes room; it gets little time for it. While a batch waits for the backlog
nobody is read: that wait ends by itself. Someone can therefore always go on.
"""

import math

from collector.connection import Peer

# The platform needs one or two; more come from whoever plays with the port.
MOST_PEERS = 128

# Idle connections that brought batches and stay whoever comes: the platform would have to queue behind the crowd.
KEPT_PEERS = 4

# What each connection may keep beside the one batch that is always possible: a read's worth of small requests.
PEER_BYTES = 8192


class Peers:
    """The open connections.

    Args:
        batch_limit_bytes: Largest batch, which must always fit.

    Attributes:
        by_fd: The connections.
        is_turned_away: Somebody may wait to be accepted, and there is no room.
    """

    def __init__(self, batch_limit_bytes: int) -> None:
        self._limit_bytes = batch_limit_bytes + MOST_PEERS * PEER_BYTES
        self._kept_bytes = 0
        self.by_fd: dict[int, Peer] = {}
        self.is_turned_away = False

    @property
    def is_short(self) -> bool:
        """Whether memory is short."""
        return self._kept_bytes > self._limit_bytes

    @property
    def is_pressed(self) -> bool:
        """Whether slow peers take what others need."""
        return self.is_short or self.is_turned_away

    @property
    def is_crowded(self) -> bool:
        """Whether there is one connection too many: the last one may stay, another may not come."""
        return len(self.by_fd) > MOST_PEERS

    def add(self, peer: Peer) -> None:
        """A connection was accepted."""
        self.by_fd[peer.fd] = peer

    def remove(self, peer: Peer) -> None:
        """A connection is closed."""
        del self.by_fd[peer.fd]
        self._kept_bytes -= peer.counted_bytes
        peer.counted_bytes = 0

    def count(self, peer: Peer) -> None:
        """Brings the account of a connection's memory up to date."""
        kept = peer.buffered_bytes
        self._kept_bytes += kept - peer.counted_bytes
        peer.counted_bytes = kept

    def may_read(self, peer: Peer, *, is_holding: bool) -> bool:
        """Whether a connection may be read now."""
        if peer.lingering_s is not None:
            return not peer.has_finished
        if not peer.is_served or peer.has_finished:
            return False
        if not self.is_short:
            return True
        return not is_holding and peer is self._first()

    def dispensable(self, *, newest: int, came_before_s: float = -math.inf) -> Peer | None:
        """The connection to close for the one numbered `newest`: one that lost its use, never one at work.

        Over HTTP the one unused for longest: of those that are over, of those idle that never brought anything, of
        those that came before `came_before_s` and never did, busy as they are, and last of those that did, but for
        the `KEPT_PEERS` used last. A stream of lines is never given up, the platform would not open another: of
        those the newest that never spoke.
        """
        others = [peer for peer in self.by_fd.values() if peer.number != newest]
        others.sort(key=lambda peer: (peer.progress_s, peer.number))
        requests = [peer for peer in others if not peer.is_lines]
        useful = [peer for peer in requests if peer.is_idle and peer.has_kept]
        for useless in (
            [peer for peer in others if peer.lingering_s is not None],
            [peer for peer in requests if peer.is_idle and not peer.has_kept],
            [peer for peer in requests if not (peer.has_kept or peer.held) and peer.accepted_s < came_before_s],
            useful[:-KEPT_PEERS],
        ):
            if useless:
                return useless[0]
        silent = [peer for peer in others if not peer.has_spoken]
        return max(silent, key=lambda peer: peer.number) if silent else None

    def _first(self) -> Peer | None:
        """The connection whose incomplete request began first."""
        begun = [peer for peer in self.by_fd.values() if peer.started_s is not None]
        return min(begun, key=lambda peer: (peer.started_s, peer.number)) if begun else None
