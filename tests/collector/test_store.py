"""Batches written, reported, acknowledged when they come again."""

from pathlib import Path

import pytest

from collector.batch import BadBatchError
from collector.store import Store, digest_of
from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.frames import BacklogFullError
from lifecycle.contract.log import Log
from lifecycle.contract.spool import Spool
from lifecycle.contract.wire import RECENT_BATCHES
from tests.collector.support import KEY, batch, event


class Kept:
    """A store and what it said."""

    def __init__(self, capacity: int = 100_000, recent: list[bytes] | None = None) -> None:
        self.backlog = Backlog(capacity)
        self.sent: list[wire.Message] = []
        self.writer = Writer(self.backlog, end=0, released=0)
        self.store = Store(self.writer, self.sent.append, recent or [], KEY, Log("collector"))

    def keep(self, body: bytes) -> None:
        """Prepares and stores, as for a request that need not wait."""
        prepared = self.store.prepare(body)
        if prepared is not None:
            self.store.store(prepared)

    def payloads(self) -> list[bytes]:
        """What the reports are about."""
        stored = [one for one in self.sent if isinstance(one, wire.Stored)]
        return [bytes(frame.payload) for one in stored for frame in self.backlog.frames(one.start, one.end)]


def test_nothing_is_reported_that_is_not_in_the_backlog() -> None:
    """A full backlog: no report, and the same batch is stored later as if for the first time."""
    kept = Kept(capacity=200)
    kept.keep(batch(event("a" * 50)))
    prepared = kept.store.prepare(batch(event("b" * 50)))
    assert prepared is not None
    with pytest.raises(BacklogFullError):
        kept.store.store(prepared)
    assert len(kept.sent) == 1
    kept.store.release(kept.writer.end)
    kept.store.store(prepared)
    assert [type(one) for one in kept.sent] == [wire.Stored, wire.Stored]


def test_a_batch_that_can_never_fit_is_refused() -> None:
    """Not held for ever."""
    kept = Kept(capacity=100)
    with pytest.raises(BadBatchError, match="too_large"):
        kept.keep(batch(event("a" * 100)))
    assert kept.sent == []


def test_the_last_batches_are_remembered_and_older_ones_are_not() -> None:
    """Memory of repeats is bounded."""
    kept = Kept()
    bodies = [batch(event(str(n))) for n in range(RECENT_BATCHES + 1)]
    for body in bodies:
        kept.keep(body)
    kept.keep(bodies[1])
    assert isinstance(kept.sent[-1], wire.Repeated)
    kept.keep(bodies[0])
    assert [type(one) for one in kept.sent[-2:]] == [wire.Repeated, wire.Stored]
    assert kept.payloads() == [*bodies, bodies[0]]


def test_digests_depend_on_the_key_and_the_body() -> None:
    """Eight bytes; another environment's differ."""
    one, other = Kept(), Kept()
    other.store = Store(other.writer, other.sent.append, [], b"other", Log("collector"))
    for kept in (one, other):
        kept.keep(batch())
        kept.keep(batch(event("x")))
    digests = [message.digest for kept in (one, other) for message in kept.sent if isinstance(message, wire.Stored)]
    assert len(set(digests)) == 4
    assert {len(digest) for digest in digests} == {8}


def test_lines_are_not_deduplicated() -> None:
    """Over TCP nothing is acknowledged, so nothing is sent again."""
    kept = Kept()
    for _ in range(2):
        prepared, problems = kept.store.prepare_lines([batch()[1:-1]])
        assert prepared is not None
        assert problems == []
        kept.store.store(prepared)
    assert kept.payloads() == [batch(), batch()]


def test_lines_that_are_whole_only_together_are_refused() -> None:
    """Joining must not make sense of what made none."""
    kept = Kept()
    lines = [b'{"type":"a","record":"x', b'y"}', b'{"type":"b"},{"type":"c"}', b"  ", b"[1]", b'{"type":"d"}']
    prepared, problems = kept.store.prepare_lines(lines)
    assert prepared is not None
    assert prepared.envelope.payload == b'[{"type":"d"}]'
    assert [problem.body_bytes for problem in problems] == [len(line) for line in lines if len(line) > 2][:-1]


def test_two_halves_that_are_valid_together_are_still_two_broken_lines() -> None:
    """Also when every other line is sound and the joined array would be valid JSON."""
    halves = [b'{"type":"a","record":"x', b'y"}']
    prepared, problems = Kept().store.prepare_lines([*halves, batch()[1:-1]])
    assert prepared is not None
    assert (prepared.envelope.payload, len(problems)) == (batch(), 2)


def test_blank_lines_alone_are_nothing() -> None:
    """Neither stored nor refused."""
    assert Kept().store.prepare_lines([b"", b"\r"]) == (None, [])


def test_events_found_in_files_are_counted_not_believed(tmp_path: Path) -> None:
    """A count that is not that of what is shipped would stand in the ledger for ever."""
    backlog = Backlog(1000, Spool(str(tmp_path / "spool"), 10_000, frame_limit_bytes=1000))
    first = Writer(backlog, end=0, released=0)
    for body, events in ((b"[%b]" % (b"1," * 440 + b"1"), 441), (b"[1,2]" + b" " * 100, 40), (b"no array", 0)):
        first.append(body, events=events, observed_ns=7, digest=bytes(8), spills=True)
    sent: list[wire.Message] = []
    again = Backlog(1000, backlog.spool)
    Store(Writer(again, end=0, released=0), sent.append, [], KEY, Log("collector")).recover()
    assert [one.events for one in sent if isinstance(one, wire.Stored)] == [2, 1]


def test_what_was_found_in_files_is_told_from_what_is_new(tmp_path: Path) -> None:
    """How far a route was counts for the former alone."""
    backlog = Backlog(1000, Spool(str(tmp_path / "spool"), 10_000, frame_limit_bytes=1000))
    first = Writer(backlog, end=0, released=0)
    for name in (b"a", b"b"):
        first.append(b'["%b"]' % (name * 600), events=1, observed_ns=7, digest=bytes(8), spills=True)
    sent: list[wire.Message] = []
    writer = Writer(Backlog(1000, backlog.spool), end=0, released=0)
    store = Store(writer, sent.append, [], KEY, Log("collector"))
    store.recover()
    prepared = store.prepare(batch())
    assert prepared is not None
    store.store(prepared, spills=True)
    assert [one.is_found for one in sent if isinstance(one, wire.Stored)] == [True, False]


def test_digest_is_of_every_byte_of_the_key_and_of_what_is_said_beside() -> None:
    body = bytes(200_000)
    changed = [body[:at] + b"x" + body[at + 1 :] for at in (0, 65_535, 65_536, 199_999)]
    digests = [digest_of(one, KEY) for one in (body, *changed, body[:-1])]
    digests += [digest_of(body, KEY[::-1]), digest_of(body, KEY, b"/v1/logs")]
    assert len(set(digests)) == len(digests)
    assert digest_of(bytearray(body), KEY) == digests[0]
